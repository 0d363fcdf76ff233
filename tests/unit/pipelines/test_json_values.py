"""Values inside parameters: kept as they are, or refused before anything runs."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.runtime.errors import InputError
from stagewright.pipelines import nulls
from stagewright.pipelines.json_values import DEEPEST, check_json

WHOLE = 2**53
RANGE = f"a number from -{WHOLE} to {WHOLE}, or text in quotes to keep it exact"
HALF = "character 2 is an unpaired surrogate, or a byte that is not UTF-8"
DAY = datetime.date(2024, 5, 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-WHOLE, WHOLE) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_whatever_passes_reaches_a_step_unchanged(value: object) -> None:
    from google.protobuf import json_format
    from kfp.compiler import pipeline_spec_builder

    check_json("params", value)
    with nulls.kept():
        message = pipeline_spec_builder.to_protobuf_value(value)

    assert json_format.MessageToDict(message) == value


def test_kfp_still_refuses_null_by_itself() -> None:
    from kfp.compiler import pipeline_spec_builder

    with pytest.raises(ValueError, match="Value must be one of the following types"):
        pipeline_spec_builder.to_protobuf_value({"a": None})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": float("nan")}, "parameter 'params.a' is nan; expected a finite number"),
        ({"a": [1, float("-inf")]}, "parameter 'params.a.1' is -inf; expected a finite number"),
        ({"a": WHOLE + 1}, f"parameter 'params.a' is {WHOLE + 1}; expected {RANGE}"),
        ({"a": -WHOLE - 1}, f"parameter 'params.a' is {-WHOLE - 1}; expected {RANGE}"),
        ({"a": {1: "x"}}, "parameter 'params.a.1' is 'x'; expected a string key: put 1 in quotes"),
        ({"a": DAY}, f"parameter 'params.a' is {DAY!r}; expected a JSON value; put dates in quotes"),
        ({"a": "x\ud83d"}, f"parameter 'params.a' is not valid Unicode: {HALF}"),
    ],
)
def test_value_that_would_change_on_the_way_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        check_json("params", value)

    assert str(caught.value) == sentence


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_has_a_bound() -> None:
    check_json("params", nested(DEEPEST))

    with pytest.raises(InputError, match=f"^parameter 'params' is nested deeper than {DEEPEST} levels$"):
        check_json("params", nested(DEEPEST + 1))

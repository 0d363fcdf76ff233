"""Values converted together: the compiled conversion and NumPy's say the same, and what is unusual is left to be looked at."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stagewright.components.predictor.inference.columns import Columns
from stagewright.components.predictor.inference.value_columns import Column
from stagewright.components.predictor.wire import column_groups
from stagewright.components.predictor.wire.column_groups import Group
from stagewright.components.predictor.wire.errors import BadColumn
from stagewright.components.runtime.signature import Input

conversion = column_groups.conversion
needs_compiled = pytest.mark.skipif(conversion is None, reason="no compiler was there when the package was installed")
BOTH = [pytest.param(conversion, id="compiled", marks=needs_compiled), pytest.param(None, id="numpy")]

NUMBERS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(width=64) | st.floats(width=32)
TEXTS = st.text(max_size=4)


def group(kinds: Sequence[str], compiled: ModuleType | None, *, nullable: bool = True) -> Group:
    members = [(at, Column(f"c{at}", kind, nullable)) for at, kind in enumerate(kinds)]
    return Group(members, numeric=kinds[0] in ("numeric", "boolean"), compiled=compiled)


def tables(values: st.SearchStrategy[Any], width: int) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=20)


def assert_same(found: dict[str, np.ndarray] | None, expected: dict[str, np.ndarray] | None) -> None:
    assert (found is None) == (expected is None)
    for name in expected or {}:
        assert found is not None
        assert found[name].dtype == (expected or {})[name].dtype
        np.testing.assert_array_equal(found[name], (expected or {})[name])


@needs_compiled
@given(tables(NUMBERS | st.sampled_from(["", "1", [], 10**400, 1e39, -1e39]), 3), st.booleans())
@example([[1, None, True], [2.5, float("nan"), False]], True)
@example([[10**400, 1, 1]], True)
@settings(deadline=None)
def test_numbers_are_numpys(rows: list[list[Any]], nullable: bool) -> None:
    kinds = ["numeric", "numeric", "boolean"]

    assert_same(
        group(kinds, conversion, nullable=nullable).convert(rows), _or_none(group(kinds, None, nullable=nullable), rows)
    )


@needs_compiled
@given(tables(TEXTS | st.sampled_from([None, 1, 2.0, True, []]), 2), st.booleans())
@settings(deadline=None)
def test_texts_are_numpys(rows: list[list[Any]], nullable: bool) -> None:
    kinds = ["categorical", "text"]

    found = group(kinds, conversion, nullable=nullable).convert(rows)

    assert_same(found, group(kinds, None, nullable=nullable).convert(rows))


def _or_none(numpys: Group, rows: list[list[Any]]) -> dict[str, np.ndarray] | None:
    """A whole number beyond any float is an error of NumPy's; it is unusual like every other value that does not fit."""
    try:
        return numpys.convert(rows)
    except OverflowError:
        return None


@pytest.mark.parametrize("compiled", BOTH)
def test_ordinary_rows_become_columns(compiled: ModuleType | None) -> None:
    rows = [[1, "a"], (2.5, "b"), [None, ""], [True, "c"]]
    numbers = Group([(0, Column("n", "numeric", True))], numeric=True, compiled=compiled).convert(rows)
    texts = Group([(1, Column("t", "categorical", True))], numeric=False, compiled=compiled).convert(rows)

    assert numbers is not None
    assert texts is not None
    np.testing.assert_array_equal(numbers["n"], np.array([[1], [2.5], [np.nan], [1]], dtype=np.float32))
    assert texts["t"].tolist() == [["a"], ["b"], [""], ["c"]]


@pytest.mark.parametrize("compiled", BOTH)
@pytest.mark.parametrize(
    ("kind", "nullable", "value"),
    [
        ("numeric", True, "1"), ("numeric", True, 1e300), ("numeric", True, float("inf")), ("numeric", False, None),
        ("numeric", False, float("nan")), ("boolean", True, 2), ("categorical", True, 1), ("categorical", True, None),
        ("categorical", False, ""),
    ],
)  # fmt: skip
def test_an_unusual_value_is_left_to_its_column(
    compiled: ModuleType | None, kind: str, nullable: bool, value: Any
) -> None:  # fmt: skip
    ordinary = "x" if kind == "categorical" else 1

    assert group([kind], compiled, nullable=nullable).convert([[ordinary], [value]]) is None


def test_no_columns_of_a_kind_are_no_columns() -> None:
    assert Group([], numeric=True).convert([["a"]]) == {}


def test_the_error_names_the_column_and_the_row() -> None:
    columns = Columns([Input(name="age", kind="numeric", nullable=True), Input(name="plan", kind="categorical", nullable=True)])

    with pytest.raises(BadColumn, match=r"'age'.*row 1"):
        columns.feeds([[1, "a"], ["old", "b"]])
    with pytest.raises(BadColumn, match=r"'plan'.*row 0"):
        columns.feeds([[1, []], [2, "b"]])


@needs_compiled
def test_the_compiled_conversion_keeps_no_reference_and_loses_none() -> None:
    assert conversion is not None
    texts = ["one text", "another"]
    before = [sys.getrefcount(text) for text in texts]
    for _ in range(1000):
        array = np.empty((1, 2), dtype=object)
        assert conversion.texts([[texts[0]], [texts[1]]], (0,), array) == conversion.COMPLETE
        assert conversion.texts([[texts[1]], [None]], (0,), array) == conversion.UNUSUAL
    del array

    assert [sys.getrefcount(text) for text in texts] == before


@needs_compiled
@pytest.mark.parametrize(
    ("rows", "places", "out", "problem"),
    [
        ([[1]], (0,), np.empty((1, 2), np.float32), "8 bytes are no place for the columns of 1 rows"),
        ([[1]], (0,), np.empty((1, 1), np.float64), "8 bytes are no place"),
        (5, (0,), np.empty((1, 1), np.float32), "has no len"),
        ([[1]], ("a",), np.empty((1, 1), np.float32), "integer"),
    ],
)
def test_the_compiled_conversion_checks_what_it_is_given(rows: Any, places: Any, out: np.ndarray, problem: str) -> None:
    assert conversion is not None
    with pytest.raises((ValueError, TypeError), match=problem):
        conversion.numbers(rows, places, out)


@needs_compiled
@pytest.mark.parametrize("rows", [[[1], []], [[1], 5], [[1], {"a": 1}], [[1], None]])
def test_rows_of_another_form_are_unusual(rows: Any) -> None:
    assert conversion is not None
    assert conversion.numbers(rows, (0,), np.empty((1, 2), np.float32)) == conversion.UNUSUAL
    assert conversion.numbers(rows, (-1,), np.empty((1, 2), np.float32)) == conversion.UNUSUAL


@needs_compiled
def test_codes_are_the_dicts_numbers_or_the_other_one() -> None:
    assert conversion is not None
    codes = np.empty((4, 1), dtype=np.float32)

    conversion.codes(np.array([["a"], ["é"], ["?"], [""]], dtype=object), {"a": 1.0, "é": 2.0, "": 3.0}, -1.0, codes)

    assert codes.ravel().tolist() == [1, 2, -1, 3]
    with pytest.raises(ValueError, match="one for each object"):
        conversion.codes(np.array(["a"], dtype=object), {}, 0.0, codes)
    with pytest.raises(ValueError, match="one for each object"):
        conversion.codes(np.zeros(4), {}, 0.0, codes)
    with pytest.raises(TypeError, match="unhashable"):
        conversion.codes(np.array([["a"], [None], [{}], ["b"]], dtype=object), {"b": 1.0}, 0.0, codes)

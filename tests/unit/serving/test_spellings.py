"""Numbers and truth values meet the category that training spelled otherwise."""

import pytest

from stagewright.components.predictor.inference.columns import Columns
from stagewright.components.predictor.wire.values import spellings
from stagewright.components.runtime.signature import Input


def test_only_what_is_written_otherwise_is_spelled() -> None:
    assert spellings(["2.0", "True", "n/k", "1", "FALSE", "1e3", "007", "nan", "1_0"]) == {
        "2": "2.0", "true": "True", "false": "FALSE", "1000": "1e3", "7": "007", "": "nan",
    }  # fmt: skip
    assert spellings(["2.0", "2", "true", "True"]) == {}
    assert spellings([]) == {}


@pytest.mark.parametrize(
    ("value", "category"),
    [
        (2.0, "2.0"),
        (2, "2.0"),
        ("2.0", "2.0"),
        ("2", "2"),
        (True, "True"),
        (False, "false"),
        ("true", "true"),
        (3, "3"),
        (None, ""),
    ],
)
def test_a_value_meets_its_category(value: object, category: str) -> None:
    columns = Columns((Input("a", "categorical", True, ("2.0", "True", "n/k")),))

    assert columns.find("a").from_values([value]).ravel().tolist() == [category]

"""What text is read as."""

# ruff: noqa: DTZ001  (stored times have no zone)
# ruff: noqa: RUF001

from datetime import date, datetime

import polars as pl
import pytest

from stagewright.components.ingestion.valuetypes import ValueType, converted, narrowest, trimmed, widened

CASES = {
    ("1", " 2 ", "+3", "-0", ""): ("integer", [1, 2, 3, 0, None]),
    ("007", "1"): ("string", ["007", "1"]),
    ("9223372036854775807", "NA"): ("integer", [2**63 - 1, None]),
    ("9223372036854775808", "1"): ("string", ["9223372036854775808", "1"]),
    ("9223372036854775808", "1.5"): ("string", ["9223372036854775808", "1.5"]),
    ("1", "2.5", ".5", "5.", "-2e-3", "nan"): ("float", [1.0, 2.5, 0.5, 5.0, -0.002, None]),
    ("inf", "-Infinity", "0.1"): ("float", [float("inf"), float("-inf"), 0.1]),
    ("true", "False", "NULL"): ("boolean", [True, False, None]),
    ("true", "1"): ("string", ["true", "1"]),
    ("2024-02-29", "N/A"): ("date", [date(2024, 2, 29), None]),
    ("2023-02-29",): ("string", ["2023-02-29"]),
    ("2024-01-02", "2024-01-02 03:04"): ("datetime", [datetime(2024, 1, 2), datetime(2024, 1, 2, 3, 4)]),
    ("2024-01-02T03:04:05.25Z", "2024-01-02 03:04:05+02:00", "2024-01-02T03:04-0130"): (
        "datetime",
        [datetime(2024, 1, 2, 3, 4, 5, 250_000), datetime(2024, 1, 2, 1, 4, 5), datetime(2024, 1, 2, 4, 34)],
    ),
    (" x ", "None", "NaN", "\u00a0"): ("string", ["x", "None", "NaN", None]),
    ("1", "?", "-", ".", "n/a"): ("integer", [1, None, None, None, None]),
    ("2024-02-29", "--"): ("date", [date(2024, 2, 29), None]),
    ("true", "?"): ("boolean", [True, None]),
    ("NA", "DE", "FR"): ("string", ["NA", "DE", "FR"]),
    ("1_000", "0x10", "１２", "1,5", "1 2"): ("string", ["1_000", "0x10", "１２", "1,5", "1 2"]),
}  # fmt: skip


@pytest.mark.parametrize("texts", list(CASES), ids=str)
def test_text_is_read_as_the_narrowest_type(texts: tuple[str, ...]) -> None:
    kind, values = CASES[texts]
    column = pl.Series("a", texts, dtype=pl.String)

    found = narrowest(trimmed(column))

    assert found == kind
    assert converted(column, found).to_list() == values


def test_no_value_has_no_type() -> None:
    column = pl.Series("a", ["", " ", "NA", "N/A", "#N/A", "NaN", "nan", "null", "?", None], dtype=pl.String)

    assert narrowest(trimmed(column)) is None
    assert converted(column, None).to_list() == [None] * 10


def test_widening_goes_to_the_nearest_common_type() -> None:
    kinds = [None, *ValueType]
    assert widened(ValueType.INTEGER, ValueType.FLOAT) is ValueType.FLOAT
    assert widened(ValueType.DATETIME, ValueType.DATE) is ValueType.DATETIME
    assert widened(ValueType.BOOLEAN, ValueType.INTEGER) is ValueType.STRING
    for one in kinds:
        for other in kinds:
            assert widened(one, other) is widened(other, one)
            for third in kinds:
                assert widened(widened(one, other), third) is widened(one, widened(other, third))

"""The predictor's conversion of values agrees with the one that training and evaluation use (`runtime/columns.py`)."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagewright.components.predictor.wire import values
from stagewright.components.runtime import columns
from stagewright.components.runtime.signature import MISSING_TIME

RELAXED = settings(deadline=None)  # a busy machine is no failure
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(1e38, 1e39), st.floats(-1e-3, 1e-3), st.floats(1e14, 1e18)
)


def same(kind: str, given: list, dtype: pl.DataType) -> None:
    series = pl.Series("x", given, dtype=dtype)
    np.testing.assert_array_equal(values.CONVERSIONS[kind]("x", given), columns.feed(series, kind).ravel())


@RELAXED
@given(st.lists(st.one_of(st.none(), floats), min_size=1))
def test_floats(given: list) -> None:
    same("numeric", given, pl.Float64)
    same("categorical", given, pl.Float64)


@RELAXED
@given(st.lists(st.one_of(st.none(), integers), min_size=1))
def test_integers(given: list) -> None:
    same("numeric", given, pl.Int64)


@RELAXED
@given(st.lists(st.one_of(st.none(), integers), min_size=1))
def test_integer_categories(given: list) -> None:
    same("categorical", given, pl.Int64)


@RELAXED
@given(st.lists(st.one_of(st.none(), st.booleans()), min_size=1))
def test_booleans(given: list) -> None:
    for kind in ("boolean", "numeric", "categorical"):
        same(kind, given, pl.Boolean)


@RELAXED
@given(st.lists(st.one_of(st.none(), st.text()), min_size=1))
def test_text(given: list) -> None:
    same("text", given, pl.String)


@RELAXED
@given(st.lists(st.one_of(st.none(), st.datetimes()), min_size=1))
def test_times(given: list) -> None:
    written = [None if moment is None else moment.isoformat() for moment in given]
    series = pl.Series("x", given, dtype=pl.Datetime("us"))

    np.testing.assert_array_equal(values.time("x", written), columns.feed(series, "datetime").ravel())


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00"),
        ("2024-01-31T12:00:00+02:00", "2024-01-31T10:00"),
        ("2024-01-31 12:00", "2024-01-31T12:00"),
        ("2024-01-31", "2024-01-31"),
        ("20240131", "2024-01-31"),
        ("2024-01-31T12:00:00.123456789Z", "2024-01-31T12:00:00.123456"),
    ],
)
def test_spellings_of_a_time(written: str, utc: str) -> None:
    assert values.time("x", [written]).view("datetime64[us]")[0] == np.datetime64(utc)


def test_a_missing_time_is_the_graphs() -> None:
    assert values.time("x", [None, ""]).tolist() == [MISSING_TIME, MISSING_TIME]


def test_mixed_numbers_are_one_category() -> None:
    assert values.text("x", [1, 1.0, "1", True, None, 1.5, 1e20]).tolist() == ["1", "1", "1", "true", "", "1.5", "1e+20"]

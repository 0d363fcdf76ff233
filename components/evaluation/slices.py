"""Metrics of parts of the data, to find where a good model is weak."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from stagewright.components.metrics import bootstrap
from stagewright.components.metrics.metrics import Measured, measure
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.schema import Task

SMALL_ROWS = 30
SMALL_CLASS_ROWS = 5
MOST_VALUES = 12  # categories; the rarer ones are merged into one slice
NUMERIC_VALUES = 6  # a number with at most this many values is a category
RESAMPLES = 500
SHOWN_COLUMNS = 10
OTHERS, MISSING = "(other values)", "(missing)"


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the rows.

    Attributes:
        value: A category, or a range of numbers.
        note: Why it is too small for intervals; empty if it is not.
    """

    column: str
    value: str
    rows: int
    measured: Measured
    intervals: dict[str, bootstrap.Interval]
    note: str = ""


def check_columns(columns: Sequence[str], schema: pl.Schema) -> None:
    """Check the columns to slice by.

    Raises:
        InputError: If the test split does not have a column, naming the nearest, or the column holds arrays.
    """
    available = schema.names()
    for column in columns:
        if isinstance(schema.get(column), pl.Array):
            raise InputError(f"cannot slice by '{column}': it holds arrays, not values or categories")
        if column not in available:
            near = did_you_mean(str(column), available) or f"; it has {', '.join(available[:SHOWN_COLUMNS])}"
            rest = ", ..." if near.startswith(";") and len(available) > SHOWN_COLUMNS else ""
            raise InputError(f"cannot slice by '{column}': the test split has no such column{near}{rest}")


def by_columns(
    outcome: Outcome, table: pl.DataFrame, columns: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Slice]:
    """Metrics for each value of some columns.

    Categories are sliced by value, most frequent first, the rare ones together; numbers and times by quartile (by value if
    there are few); missing values are a slice of their own.

    Args:
        outcome: Outcome for the table's rows, N.
        columns: Columns of the table.

    Raises:
        InputError: If a column is not in the table.
    """
    check_columns(columns, table.schema)
    return [
        _slice(outcome.take(rows), column, value, resamples, seed) for column in columns for value, rows in parts(table[column])
    ]


def parts(column: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Name and row mask, [N], of each part of a column; each row is in exactly one part."""
    values = column.fill_nan(None) if column.dtype.is_float() else column
    ordered = column.dtype.is_numeric() or column.dtype.is_temporal()
    if ordered and values.drop_nulls().n_unique() > NUMERIC_VALUES:
        yield from _quartiles(values)
    else:
        yield from _categories(values)
    if values.null_count():
        yield MISSING, values.is_null().to_numpy()


def _categories(values: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    counts = (
        values.drop_nulls().alias("category").value_counts(name="rows").sort(["rows", "category"], descending=[True, False])
    )
    found = counts["category"].to_list()
    # One category more than the limit needs no slice of others, which would contain only that category.
    shown = found if len(found) <= MOST_VALUES + 1 else found[:MOST_VALUES]
    for category in shown:
        yield _text(category), values.eq(category).fill_null(value=False).to_numpy()
    if len(shown) < len(found):
        yield OTHERS, (values.is_not_null() & ~values.is_in(shown).fill_null(value=False)).to_numpy()


def _quartiles(values: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    numbers = values.to_physical().cast(pl.Float64).to_numpy()
    known = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[known], [0.25, 0.5, 0.75]))
    quarter = np.searchsorted(edges, numbers, side="left")
    for number in np.unique(quarter[known]):
        mask = known & (quarter == number)
        part = values.filter(pl.Series(mask))
        yield f"{_text(part.min())} to {_text(part.max())}", mask


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _slice(outcome: Outcome, column: str, value: str, resamples: int, seed: int) -> Slice:
    note = _too_small(outcome)
    intervals = {} if note else bootstrap.intervals(outcome, resamples=resamples, seed=seed)
    return Slice(column, value, len(outcome), measure(outcome), intervals, note)


def _too_small(outcome: Outcome) -> str:
    if len(outcome) < SMALL_ROWS:
        return f"only {len(outcome)} rows"
    if outcome.task is not Task.BINARY:  # with many classes, some are rare in every slice
        return ""
    counts = np.bincount(outcome.truth, minlength=len(outcome.labels))
    rarest = int(counts.argmin())
    return f"only {counts[rarest]} rows of class '{outcome.labels[rarest]}'" if counts[rarest] < SMALL_CLASS_ROWS else ""

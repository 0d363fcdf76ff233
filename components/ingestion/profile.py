"""What a table looks like, column by column; counted by streaming, so the table may be larger than memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.runtime import tables

EXACT_ROWS = 1_000_000  # up to here distinct values are counted exactly, above to about 1 %
SAMPLE_ROWS = 50_000
TOP_VALUES = 20
COUNTED_DISTINCT = 10_000  # above, the most frequent values are taken from the sample

DTYPE_NAMES = {
    pl.Int64: "int64", pl.Float64: "float64", pl.String: "string", pl.Boolean: "boolean", pl.Datetime: "datetime",
    pl.Date: "date",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Figures of one column.

    Attributes:
        dtype: int64, float64, string, boolean, datetime or date.
        nulls: Missing values; NaN counts as missing.
        infinite: Values that are infinite.
        distinct: Different values, missing ones not counted.
        top: The most frequent values with their numbers of rows, most frequent first; empty for decimal numbers and times.
        words: Mean number of words in a text.
    """

    name: str
    dtype: str
    rows: int
    nulls: int
    infinite: int
    distinct: int
    minimum: Any = None
    maximum: Any = None
    mean: float | None = None
    deviation: float | None = None
    words: float | None = None
    top: tuple[tuple[Any, int], ...] = ()

    @property
    def present(self) -> int:
        return self.rows - self.nulls

    @property
    def null_share(self) -> float:
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def constant(self) -> bool:
        return self.distinct == 1 and self.nulls == 0

    @property
    def all_different(self) -> bool:
        return self.present > 0 and self.distinct == self.present

    @property
    def number(self) -> bool:
        return self.dtype in {"int64", "float64"}

    @property
    def time(self) -> bool:
        return self.dtype in {"date", "datetime"}


@dataclass(frozen=True, slots=True)
class Profile:
    """Figures of a table.

    Attributes:
        duplicates: Rows that are equal to an earlier row in every column.
        sample: Up to `SAMPLE_ROWS` rows, evenly spaced over the table: for plots, and where looking at all rows is too much.
    """

    rows: int
    columns: dict[str, ColumnProfile]
    duplicates: int
    sample: pl.DataFrame

    @property
    def duplicate_share(self) -> float:
        return self.duplicates / self.rows if self.rows else 0.0


def profile(path: str | Path) -> Profile:
    """Look at a whole table.

    Raises:
        InputError: If the file is missing or is not a table.
    """
    frame = _without_nan(tables.scan(path))
    schema = frame.collect_schema()
    rows = frame.select(pl.len()).collect().item()
    exact = rows <= EXACT_ROWS
    figures = frame.select(
        figure for name, dtype in schema.items() for figure in _figures(name, dtype, exact=exact)
    ).collect(engine="streaming").row(0, named=True)  # fmt: skip
    distinct_rows = frame.select(pl.struct(pl.all()).hash().n_unique()).collect(engine="streaming").item() if len(schema) else 0
    sample = frame.gather_every(max(1, -(-rows // SAMPLE_ROWS))).collect(engine="streaming")
    columns = {}
    for name, dtype in schema.items():
        own = {
            key: figures[f"{key}:{name}"]
            for key in ("nulls", "infinite", "distinct", "minimum", "maximum", "mean", "deviation", "words")
        }
        top = _top(frame if own["distinct"] <= COUNTED_DISTINCT else sample.lazy(), name, dtype, rows)
        columns[name] = ColumnProfile(name, DTYPE_NAMES[dtype.base_type()], rows, top=top, **own)
    return Profile(rows, columns, rows - distinct_rows, sample)


def _without_nan(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _figures(name: str, dtype: pl.DataType, *, exact: bool) -> list[pl.Expr]:
    column = pl.col(name)
    nothing = pl.lit(None)
    number = dtype.is_numeric()
    present = column.drop_nulls()
    ordered = number or dtype.is_temporal()
    figures = {
        "nulls": column.null_count(),
        "infinite": column.is_infinite().sum() if dtype.is_float() else pl.lit(0),
        "distinct": present.n_unique() if exact or dtype == pl.Boolean else present.approx_n_unique(),
        "minimum": column.min() if ordered else nothing,
        "maximum": column.max() if ordered else nothing,
        "mean": column.mean() if number else nothing,
        "deviation": column.std() if number else nothing,
        "words": column.str.count_matches(r"\S+").mean() if dtype == pl.String else nothing,
    }
    return [figure.alias(f"{key}:{name}") for key, figure in figures.items()]


def _top(frame: pl.LazyFrame, name: str, dtype: pl.DataType, rows: int) -> tuple[tuple[Any, int], ...]:
    if dtype.is_float() or dtype.is_temporal():
        return ()
    values, counted = pl.col(name), pl.len().alias("rows")
    counts = frame.filter(values.is_not_null()).group_by(values.alias("value")).agg(counted)
    # Equal counts are told apart by value, so that a report does not depend on chance.
    found = counts.sort(["rows", "value"], descending=[True, False]).head(TOP_VALUES).collect(engine="streaming")
    return tuple(found.rows())

"""Profile of a table, column by column, computed by streaming: the table may be larger than memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.runtime import tables

EXACT_ROWS = 1_000_000  # distinct values are counted exactly up to this number, above it to about 1 %
SAMPLE_ROWS = 50_000
TOP_VALUES = 20
IMAGES, TENSORS = "uint8 array", "float32 array"
SHOWN_PICTURES = 24
COUNTED_DISTINCT = 10_000  # above, the most frequent values are taken from the sample

DTYPE_NAMES = {
    pl.Int64: "int64", pl.Float64: "float64", pl.String: "string", pl.Boolean: "boolean", pl.Datetime: "datetime",
    pl.Date: "date",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Statistics of one column.

    Attributes:
        dtype: int64, float64, string, boolean, datetime, date, uint8 array or float32 array.
        shape: Shape of each value of an array column.
        nulls: Number of missing values; NaN counts as missing.
        infinite: Number of infinite values.
        distinct: Number of different values, without missing ones.
        top: The most frequent values with their row counts, most frequent first; empty for decimal numbers and times.
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
    shape: tuple[int, ...] | None = None

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
    """Statistics of a table.

    Attributes:
        duplicates: Rows that are equal to an earlier row in every column.
        sample: Up to `SAMPLE_ROWS` rows, evenly spaced over the table, for plots and expensive checks. Array columns are left
            out.
        pictures: A few images of each image column, [N, C, H, W].
    """

    rows: int
    columns: dict[str, ColumnProfile]
    duplicates: int
    sample: pl.DataFrame
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def duplicate_share(self) -> float:
        return self.duplicates / self.rows if self.rows else 0.0


def profile(path: str | Path) -> Profile:
    """Profile a whole table.

    Raises:
        InputError: If the file is missing or is not Parquet.
    """
    frame = _without_nan(tables.scan_table(path))
    schema = frame.collect_schema()
    rows = frame.select(pl.len()).collect().item()
    exact = rows <= EXACT_ROWS
    figures = frame.select(
        figure for name, dtype in schema.items() for figure in _figures(name, dtype, exact=exact)
    ).collect(engine="streaming").row(0, named=True)  # fmt: skip
    distinct_rows = frame.select(pl.struct(pl.all()).hash().n_unique()).collect(engine="streaming").item() if len(schema) else 0
    arrays = [name for name, dtype in schema.items() if isinstance(dtype, pl.Array)]
    sample = frame.drop(arrays).gather_every(max(1, -(-rows // SAMPLE_ROWS))).collect(engine="streaming")
    columns = {}
    for name, dtype in schema.items():
        own = {
            key: figures[f"{key}:{name}"]
            for key in ("nulls", "infinite", "distinct", "minimum", "maximum", "mean", "deviation", "words")
        }
        top = _top(frame if own["distinct"] <= COUNTED_DISTINCT else sample.lazy(), name, dtype, rows)
        shape = dtype.shape if isinstance(dtype, pl.Array) else None
        columns[name] = ColumnProfile(name, _type_name(dtype), rows, top=top, shape=shape, **own)
    images = [name for name in arrays if columns[name].dtype == IMAGES and len(columns[name].shape or ()) == 3]
    shown = frame.select(images).gather_every(max(1, rows // SHOWN_PICTURES)).head(SHOWN_PICTURES).collect() if images else None
    pictures = {name: shown.get_column(name).drop_nulls().to_numpy() for name in images} if shown is not None else {}
    return Profile(rows, columns, rows - distinct_rows, sample, pictures)


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Array):
        return IMAGES if str(dtype).startswith("Array(UInt8") else TENSORS
    return DTYPE_NAMES[dtype.base_type()]


def _without_nan(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _figures(name: str, dtype: pl.DataType, *, exact: bool) -> list[pl.Expr]:
    column = pl.col(name)
    nothing = pl.lit(None)
    number = dtype.is_numeric()
    array = isinstance(dtype, pl.Array)
    present = column.drop_nulls().hash() if array else column.drop_nulls()
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
    if dtype.is_float() or dtype.is_temporal() or isinstance(dtype, pl.Array):
        return ()
    values, counted = pl.col(name), pl.len().alias("rows")
    counts = frame.filter(values.is_not_null()).group_by(values.alias("value")).agg(counted)
    # Equal counts are ordered by value, so that a report is deterministic.
    found = counts.sort(["rows", "value"], descending=[True, False]).head(TOP_VALUES).collect(engine="streaming")
    return tuple(found.rows())

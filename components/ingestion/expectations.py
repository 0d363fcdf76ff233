"""Checks of a schema's expectations over the whole table by streaming; each failure is one short clause."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.ingestion.profile import ColumnProfile, Profile
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Column, Schema

SHOWN = 3  # example values in a clause


def violations(path: str | Path, schema: Schema, profile: Profile) -> list[str]:
    """Every expectation of the schema that the table violates.

    Raises:
        InputError: If an expectation is invalid: a malformed pattern, or a bound of another type than the column.
    """
    frame = tables.scan_table(path)
    found = list(_of_table(schema, profile))
    for column in schema.columns:
        figures = profile.columns.get(column.name)
        if figures is not None and figures.present:
            found += _of_column(frame, column, figures)
    return found


def _of_table(schema: Schema, profile: Profile) -> Iterator[str]:
    if schema.minimum_rows is not None and profile.rows < schema.minimum_rows:
        yield f"the table has {profile.rows} rows, expected at least {schema.minimum_rows}"
    if schema.max_duplicate_share is not None and profile.duplicate_share > schema.max_duplicate_share:
        yield (
            f"{profile.duplicates} rows ({_percent(profile.duplicate_share)}) are duplicates, "
            f"expected at most {_percent(schema.max_duplicate_share)}"
        )


def _of_column(frame: pl.LazyFrame, column: Column, figures: ColumnProfile) -> Iterator[str]:
    if not column.nullable and figures.nulls:
        share = _percent(figures.null_share)
        yield f"column '{column.name}' is missing in {figures.nulls} rows ({share}), expected in every row"
    elif column.max_null_share is not None and figures.null_share > column.max_null_share:
        yield (
            f"column '{column.name}' is missing in {figures.nulls} rows ({_percent(figures.null_share)}), "
            f"expected at most {_percent(column.max_null_share)}"
        )
    if figures.shape is not None:
        return  # the other expectations apply to single values
    for wrong, clause in _conditions(column, figures):
        yield from _counted(frame, column.name, wrong, clause)
    if column.unique:
        yield from _repeated(frame, column.name)
    if column.increasing:
        yield from _decreasing(frame, column.name)


def _conditions(column: Column, figures: ColumnProfile) -> Iterator[tuple[pl.Expr, str]]:
    """Expressions that are true where a value is wrong, each with the expectation as text."""
    values = pl.col(column.name)
    if column.minimum is not None:
        yield values < _bound(column, figures, column.minimum), f"expected at least {_plain(column.minimum)}"
    if column.maximum is not None:
        yield values > _bound(column, figures, column.maximum), f"expected at most {_plain(column.maximum)}"
    if column.values is not None:
        text = values.cast(pl.String)
        allowed = [str(value).lower() if isinstance(value, bool) else _plain(value) for value in column.values]
        yield (
            ~text.is_in(allowed),
            f"expected one of {', '.join(map(repr, column.values[:10]))}{', ...' * (len(column.values) > 10)}",
        )
    if column.pattern is not None:
        try:
            re.compile(column.pattern)
            wrong = ~values.cast(pl.String).str.contains(f"^(?:{column.pattern})$")
            pl.Series(column.name, [""], dtype=pl.String).to_frame().select(~pl.col(column.name).str.contains(column.pattern))
        except (re.error, pl.exceptions.ComputeError):
            raise InputError(
                f"the schema's pattern for column '{column.name}', {column.pattern!r}, is no regular expression"
            ) from None
        yield wrong, f"expected the pattern {column.pattern}"


def _counted(frame: pl.LazyFrame, name: str, wrong: pl.Expr, clause: str) -> Iterator[str]:
    failing = frame.select(pl.col(name)).filter(wrong)
    rows, examples = failing.select(
        pl.len().alias("rows"), pl.col(name).unique(maintain_order=True).head(SHOWN).implode().alias("examples")
    ).collect(engine="streaming").row(0)  # fmt: skip
    if rows:
        shown = ", ".join(_shown(value) for value in examples)
        yield f"column '{name}' has {rows} wrong value{'s' * (rows != 1)} ({shown}), {clause}"


def _repeated(frame: pl.LazyFrame, name: str) -> Iterator[str]:
    values = frame.select(pl.col(name).drop_nulls())
    rows, distinct = values.select(pl.len(), pl.col(name).n_unique().alias("distinct")).collect(engine="streaming").row(0)
    if rows != distinct:
        yield f"column '{name}' repeats values in {rows - distinct} rows, expected all different"


def _decreasing(frame: pl.LazyFrame, name: str) -> Iterator[str]:
    values = frame.select(pl.col(name).drop_nulls()).collect(engine="streaming").to_series()
    falls = (values < values.shift(1)).fill_null(value=False)
    if falls.any():
        place = int(falls.arg_true()[0])
        first = f"from {_shown(values[place - 1])} to {_shown(values[place])}"
        yield f"column '{name}' decreases {falls.sum()} times, first {first}, expected never"


def _bound(column: Column, figures: ColumnProfile, bound: float | str) -> Any:
    kind = {"date": "date", "datetime": "time", "string": "text", "boolean": "boolean"}.get(figures.dtype, "number")
    try:
        if figures.dtype == "date":
            return pl.lit(datetime.fromisoformat(str(bound)).date())
        if figures.dtype == "datetime":
            return pl.lit(datetime.fromisoformat(str(bound)).replace(tzinfo=None))
        if figures.number:
            return pl.lit(float(bound))
    except ValueError:
        pass
    else:
        if figures.dtype == "string":
            return pl.lit(str(bound))
    raise InputError(f"the schema's bound {bound!r} for column '{column.name}' is no {kind}")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int | date | datetime) else repr(value)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _percent(share: float) -> str:
    return f"{share:.2%}".replace(".00%", "%")

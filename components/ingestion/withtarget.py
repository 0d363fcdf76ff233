"""Rows without a target cannot be used for training or evaluation: they are left out before the split."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from stagewright.components.runtime import tables
from stagewright.components.runtime.schema import Schema


@contextmanager
def rows_with_target(table: str | Path, schema: Schema) -> Iterator[str | Path]:
    """The table's rows with a known target: the table itself if all are known."""
    target = schema.target or ""
    frame = tables.scan_table(table)
    if target not in frame.collect_schema():
        yield table
        return
    known = pl.col(target).is_not_null()
    if frame.collect_schema()[target].is_float():
        known &= pl.col(target).is_not_nan()
    if frame.select(known.all()).collect(engine="streaming").item():
        yield table
        return
    with TemporaryDirectory(prefix="stagewright-") as folder:
        kept = Path(folder) / "table"
        tables.write_table(frame.filter(known), kept)
        yield kept

"""Tables: one Parquet file each, read and written in one way, so that equal tables are equal files."""

import os
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import polars as pl

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.files import sha256

ROW_GROUP_ROWS = 131_072
ROW_GROUP_BYTES = 64 * 2**20  # of the values of arrays; of images, fewer rows make a group
COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL = 3
MAGIC = b"PAR1"
STORED_TYPES = (pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Datetime("us"), pl.Date)


@dataclass(frozen=True, slots=True)
class TableInfo:
    """What identifies a stored table.

    Attributes:
        sha256: Of the file's bytes, as lower-case hex.
    """

    rows: int
    columns: int
    sha256: str

    def metadata(self) -> dict[str, Any]:
        """As metadata of a Dataset artifact."""
        return asdict(self)


def read_table(path: str | Path) -> pl.DataFrame:
    """The whole table.

    Raises:
        InputError: If the file is missing or is not Parquet.
    """
    return pl.read_parquet(_checked(path), glob=False, hive_partitioning=False)


def scan_table(path: str | Path) -> pl.LazyFrame:
    """The table, read when collected and only as far as needed.

    Raises:
        InputError: If the file is missing or is not Parquet.
    """
    return pl.scan_parquet(_checked(path), glob=False, hive_partitioning=False)


def write_table(frame: pl.DataFrame | pl.LazyFrame, path: str | Path, *, row_group_rows: int = ROW_GROUP_ROWS) -> TableInfo:
    """Store a table; the file appears whole or not at all. A LazyFrame is streamed, never held in memory as a whole.

    Column types are brought to `STORED_TYPES`: narrower numbers are widened, categories become strings, times become
    microseconds without a zone (UTC). Arrays of one shape are images (bytes) or tensors (float32).

    Args:
        row_group_rows: Rows that are held in memory at a time; fewer than usual for very wide rows.

    Raises:
        InputError: If a column's type cannot be stored, such as a list.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Always the streaming engine, so that the bytes do not depend on which kind of frame was given; and a file that
        # is open already, because the engine would make its own even after a failure was reported.
        stored = conformed(frame.lazy())
        fitting = max(1, ROW_GROUP_BYTES // row_bytes(stored.collect_schema()))
        with partial.open("wb") as file:
            stored.sink_parquet(
                file,
                compression=COMPRESSION,
                compression_level=COMPRESSION_LEVEL,
                row_group_size=min(row_group_rows, fitting),
                maintain_order=True,
                engine="streaming",
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return info(path)


def info(path: str | Path) -> TableInfo:
    """Rows, columns and hash of a stored table.

    Raises:
        InputError: If the file is missing or is not Parquet.
    """
    frame = scan_table(path)
    rows = frame.select(pl.len()).collect().item()
    return TableInfo(rows, len(frame.collect_schema()), sha256(path))


def row_bytes(schema: pl.Schema) -> int:
    """Bytes that the arrays of one row take; at least 1."""
    arrays = [dtype for dtype in schema.dtypes() if isinstance(dtype, pl.Array)]
    return max(1, sum(prod(dtype.shape) * (1 if _inner(dtype) == pl.UInt8 else 4) for dtype in arrays))


def conformed(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same table with every column of one of `STORED_TYPES`, or an array of UInt8 or Float32.

    Raises:
        InputError: If a column's type cannot be stored.
    """
    schema = frame.collect_schema()
    return frame.with_columns(_conformed(name, dtype) for name, dtype in schema.items() if dtype not in STORED_TYPES)


def _conformed(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Array):
        return column.cast(pl.Array(_element(name, dtype), dtype.shape))
    if isinstance(dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
        return utc.cast(pl.Datetime("us"))
    if dtype.is_integer():
        return column.cast(pl.Int64)
    if dtype.is_numeric():
        return column.cast(pl.Float64)
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        return column.cast(pl.String)
    raise InputError(f"column '{name}' holds {dtype}, which a table cannot store; turn it into numbers, text or times first")


def _element(name: str, dtype: pl.Array) -> pl.DataType:
    """Pixels stay bytes; other numbers become float32, which is what networks compute with."""
    inner = _inner(dtype)
    if inner == pl.UInt8:
        return pl.UInt8()
    if inner.is_numeric() or inner == pl.Boolean:
        return pl.Float32()
    raise InputError(f"column '{name}' holds {dtype}, which a table cannot store; an array holds numbers")


def _inner(dtype: pl.Array) -> pl.DataType:
    inner: pl.DataType = dtype
    while isinstance(inner, pl.Array):
        inner = inner.inner  # type: ignore[assignment]
    return inner


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; a table is one Parquet file")
    if not path.is_file():
        raise InputError(f"no table at {path}")
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(MAGIC)))
        if head != MAGIC or file.read() != MAGIC or size < 3 * len(MAGIC):
            raise InputError(f"{path} is not a Parquet file, or only a part of one")
    return path

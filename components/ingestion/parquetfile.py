"""Parquet files made elsewhere: any compression, any size of row group, brought to the types that our tables have."""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.valuetypes import DTYPES, ArrayType, Known, Types, ValueType, dtype
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError

BATCH_ROWS = 16_384
BATCH_BYTES = 64 * 2**20  # of images, fewer rows
_TYPE_OF = {str(stored): known for known, stored in DTYPES.items()}


class ParquetFile:
    """A Parquet file, read page by page, so that one enormous row group needs no more memory than many small ones."""

    def __init__(self, file: RawFile, reading: Reading) -> None:
        self.file, self.reading = file, reading
        try:
            with self._open() as parquet:
                empty = pl.DataFrame(pl.from_arrow(parquet.schema_arrow.empty_table()))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{file.name} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
        self.columns = checked_names(empty.columns, file.name)
        try:
            stored = tables.conformed(empty.lazy()).collect_schema()
        except InputError as error:
            raise InputError(f"{file.name}: {error}") from None
        self._types: Types = {name: _type_of(stored[given]) for name, given in zip(self.columns, empty.columns, strict=True)}
        self._rows = min(BATCH_ROWS, max(1, BATCH_BYTES // tables.row_bytes(stored)))
        self._types |= {
            name: None for name, given in zip(self.columns, empty.columns, strict=True) if empty.schema[given] == pl.Null
        }

    def types(self) -> Types:
        return self._types

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        size = self.file.path.stat().st_size
        with self._open() as parquet:
            rows = max(1, parquet.metadata.num_rows)
            for batch in parquet.iter_batches(batch_size=self._rows, use_threads=False):
                table = pl.DataFrame(pl.from_arrow(batch)).rename(str.strip)
                try:
                    known = tables.conformed(table.lazy()).collect()
                except pl.exceptions.InvalidOperationError:
                    raise InputError(f"{self.file.name} holds a whole number too large for 64 bits; store it as text") from None
                yield known.select(pl.col(name).cast(dtype(wanted)) for name, wanted in types.items())
                self.reading.advance(size * len(table) / rows)

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file.path, memory_map=False, pre_buffer=False, buffer_size=1 << 20)


def _type_of(stored: pl.DataType) -> Known:
    if isinstance(stored, pl.Array):
        image = str(stored).startswith("Array(UInt8") and len(stored.shape) == 3
        return ArrayType(image=image, shape=stored.shape)
    return _TYPE_OF[str(stored)]


def mergeable(one: Known | None, other: Known | None) -> bool:
    """Whether columns of two files with types of their own may become one without turning into text."""
    groups = ({ValueType.INTEGER, ValueType.FLOAT}, {ValueType.DATE, ValueType.DATETIME})
    return one is None or other is None or one == other or any({one, other} == group for group in groups)

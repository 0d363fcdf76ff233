"""Parquet files from other tools: any compression, any row group size, converted to the types of our tables."""

import json
import re
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stagewright.components.ingestion.arrowtypes import brought, fits, stored_type, wide
from stagewright.components.ingestion.compression import FREE_BYTES, MOST_TIMES
from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.valuetypes import DTYPES, ArrayType, Known, Types, ValueType, dtype
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError

BATCH_ROWS = 16_384
BATCH_BYTES = 64 * 2**20  # of images, fewer rows
MOST_ROWS_A_BYTE = 10_000  # a constant column takes a few bytes for tens of thousands of rows
_TYPE_OF = {str(stored): known for known, stored in DTYPES.items()}
_INDEX = re.compile(r"__index_level_\d+__")


class ParquetFile:
    """A Parquet file, read page by page, so that one huge row group needs no more memory than many small ones."""

    def __init__(self, file: RawFile, reading: Reading) -> None:
        self.file, self.reading = file, reading
        try:
            with self._open() as parquet:
                schema, metadata = parquet.schema_arrow, parquet.metadata
                index, named = _index_columns(schema)
                self._given = [name for name in schema.names if name not in index]
                self._check(metadata)
                self._types_of = {
                    name: stored_type(schema.field(name).type, as_text=not self._fits(parquet, schema.field(name)))
                    for name in self._given
                }
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file.name} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
        if index:
            listed = " and ".join(f"'{name}'" for name in index)
            reading.notes.add(f"{listed}, the row index that pandas wrote, is left out")
        kept = [name for name in named if name.strip() not in reading.rules.drop and not reading.rules.kinds]
        if kept:
            listed = " and ".join(f"'{name}'" for name in kept)
            reading.notes.add(f"{listed}, a row index with a name that pandas wrote, is read as a column")
        self.columns = checked_names(self._given, file.name)
        stored = self._stored()
        self._types: Types = {
            name: None if kind == pa.null() else _type_of(stored[name])
            for name, kind in zip(self.columns, self._types_of.values(), strict=True)
        }
        self._rows = min(BATCH_ROWS, max(1, BATCH_BYTES // tables.row_bytes(pl.Schema(stored))))

    def types(self) -> Types:
        return self._types

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        size = self.file.path.stat().st_size
        wanted = [given for given, name in zip(self._given, self.columns, strict=True) if name in types]
        with self._open() as parquet:
            rows = max(1, parquet.metadata.num_rows)
            try:
                for batch in parquet.iter_batches(batch_size=self._rows, use_threads=False, columns=wanted):
                    table = self._table(batch)
                    yield table.select(pl.col(name).cast(dtype(known)) for name, known in types.items())
                    self.reading.advance(size * len(table) / rows)
            except (pa.ArrowException, OSError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{self.file.name} is damaged: its rows cannot be read to the end ({reason})") from None

    def _table(self, batch: pa.RecordBatch) -> pl.DataFrame:
        try:
            columns = [brought(batch.column(name), self._types_of[name], name.strip()) for name in batch.schema.names]
        except InputError as error:
            raise InputError(f"{self.file.name}: {error}") from None
        names = [name.strip() for name in batch.schema.names]
        table = pl.DataFrame(pl.from_arrow(pa.RecordBatch.from_arrays(columns, names=names)))
        return tables.conformed(table.lazy()).with_columns(pl.col(pl.String).str.strip_chars()).collect()

    def _stored(self) -> dict[str, pl.DataType]:
        """The type of each column in our tables."""
        stored: dict[str, pl.DataType] = {}
        for name, kind in zip(self.columns, self._types_of.values(), strict=True):
            try:
                empty = pl.DataFrame(pl.from_arrow(pa.table({name: pa.array([], kind)})))
                stored |= tables.conformed(empty.lazy()).collect_schema()
            except InputError as error:
                raise InputError(f"{self.file.name}: {error}") from None
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                # polars panics on an unknown type, and a panic is not an Exception.
                raise InputError(
                    f"{self.file.name}: column '{name}' holds {kind} values, which a table cannot store; "
                    "turn it into numbers, text or times first"
                ) from None
        return stored

    def _fits(self, parquet: pq.ParquetFile, field: pa.Field) -> bool:
        if not wide(field.type):
            return True
        return all(fits(batch.column(0)) for batch in parquet.iter_batches(columns=[field.name], use_threads=False))

    def _check(self, metadata: pq.FileMetaData) -> None:
        """Refuse a file that declares far more data than it can contain.

        Raises:
            InputError: Naming what it declares.
        """
        size = self.file.path.stat().st_size
        groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
        announced = sum(group.total_byte_size for group in groups)
        rows = metadata.num_rows
        if (announced > FREE_BYTES and announced > MOST_TIMES * size) or rows > MOST_ROWS_A_BYTE * size:
            raise InputError(
                f"{self.file.name} announces {rows:,} rows and {announced:,} bytes of values, and is a file of {size:,} bytes: "
                "it is damaged, or made to fill a machine"
            )
        if any(group.num_rows < 0 or group.total_byte_size < 0 for group in groups) or rows != sum(g.num_rows for g in groups):
            raise InputError(
                f"{self.file.name} is damaged: its row groups do not add up to the {rows:,} rows that it announces"
            )

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(
            self.file.path, memory_map=False, pre_buffer=False, buffer_size=1 << 20, coerce_int96_timestamp_unit="us"
        )


def _index_columns(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """Columns of a pandas row index: unnamed ones, and named ones."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = [name for name in described.get("index_columns", []) if isinstance(name, str) and name in schema.names]
    except (ValueError, AttributeError, TypeError):
        return [], []
    return [name for name in index if _INDEX.fullmatch(name)], [name for name in index if not _INDEX.fullmatch(name)]


def _type_of(stored: pl.DataType) -> Known:
    if isinstance(stored, pl.Array):
        image = str(stored).startswith("Array(UInt8") and len(stored.shape) == 3
        return ArrayType(image=image, shape=stored.shape)
    return _TYPE_OF[str(stored)]


def mergeable(one: Known | None, other: Known | None) -> bool:
    """Whether columns of two typed files can be merged without becoming text."""
    groups = ({ValueType.INTEGER, ValueType.FLOAT}, {ValueType.DATE, ValueType.DATETIME})
    return one is None or other is None or one == other or any({one, other} == group for group in groups)

"""CSV and TSV files. Whole blocks are read at once; where a block cannot be, the file is read again row by row."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import csv as pacsv

from stagewright.components.ingestion.bytestreams import Advance, open_bytes
from stagewright.components.ingestion.dialect import delimiter_of
from stagewright.components.ingestion.records import Record, records
from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.textlines import encoding_of, lines, sample, undecoded
from stagewright.components.ingestion.valuetypes import Types, converted, extended
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError

BLOCK_BYTES = 1 << 18  # the reader keeps some 32 blocks ahead, so a block's size counts many times
TABLE_BYTES = 1 << 21
EXACT_ROWS = 32_768
SAMPLE_LINES = 500


class _TroubleError(Exception):
    """A block holds something that only reading row by row can name."""


class DelimitedFile:
    """A text file with a header and a delimiter."""

    def __init__(self, file: RawFile, reading: Reading, delimiter: str | None = None) -> None:
        self.file, self.reading = file, reading
        content = sample(file.path, file.name)
        self.encoding = reading.encoding or encoding_of(content, file.name)
        head = list(islice(lines(file.path, file.name, self.encoding), SAMPLE_LINES))
        self.delimiter = reading.delimiter or delimiter or delimiter_of(head)
        header = next(records(lines(file.path, file.name, self.encoding), self.delimiter, self.encoding))
        if header.fault:
            raise InputError(f"{file.name}, line {header.line}: {header.fault}; {self._remedy(header)}")
        self.columns = checked_names(header.fields, file.name)
        self.exact = header.line > 1  # blank lines above the header
        logs.event("file_opened", file=file.name, encoding=self.encoding, delimiter=self.delimiter, columns=len(self.columns))

    def types(self) -> Types:
        if not self.exact:
            try:
                return self._types(self._blocks())
            except _TroubleError:
                self.exact = True
        return self._types(self._rows(report=True))

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        for text in self._rows(report=False) if self.exact else self._blocks():
            yield pl.DataFrame([converted(text.get_column(name), known) for name, known in types.items()])

    def _types(self, tables_of_text: Iterator[pl.DataFrame]) -> Types:
        types: Types = dict.fromkeys(self.columns)
        for text in tables_of_text:
            types = extended(types, text)
        return types

    def _blocks(self) -> Iterator[pl.DataFrame]:
        def refuse(_: Any) -> str:
            return "error"

        stream = _Balanced(self.file, self.reading.advance)
        try:
            # The system's allocator returns memory at once; the default pool would keep a gigabyte in reserve.
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=BLOCK_BYTES, column_names=self.columns, skip_rows_after_names=1,
                    encoding="utf8" if self.encoding == "utf-8" else self.encoding,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()), strings_can_be_null=False
                ),
                memory_pool=pa.system_memory_pool(),
            )  # fmt: skip
            for batches in _gathered(reader):
                yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise _TroubleError from error
        finally:
            stream.close()
        if not stream.balanced:
            raise _TroubleError

    def _rows(self, *, report: bool) -> Iterator[pl.DataFrame]:
        text = lines(self.file.path, self.file.name, self.encoding, self.reading.advance)
        rows = records(text, self.delimiter, self.encoding)
        next(rows)  # the header
        good: list[list[str]] = []
        for row in rows:
            fault = row.fault or self._ragged(row)
            if fault is None:
                good.append(row.fields)
            elif report:
                self.reading.bad_rows.add(self.file.name, row.line, fault, row.text, remedy=self._remedy(row))
            if len(good) == EXACT_ROWS:
                yield self._table(good)
                good = []
        if good:
            yield self._table(good)

    def _table(self, rows: list[list[str]]) -> pl.DataFrame:
        return pl.DataFrame(
            [
                pl.Series(name, values, dtype=pl.String)
                for name, values in zip(self.columns, zip(*rows, strict=True), strict=True)
            ]
        )

    def _ragged(self, row: Record) -> str | None:
        expected, found = len(self.columns), len(row.fields)
        if expected == found:
            return None
        return f"expected {expected} field{'s' * (expected != 1)}, found {found}"

    def _remedy(self, row: Record) -> str:
        return "set 'encoding' to what it is" if undecoded(row.text, self.encoding) else "correct the row"


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches in bunches of about `TABLE_BYTES`: enough rows to make each operation on a column worth its start."""
    bunch: list[pa.RecordBatch] = []
    for batch in batches:
        bunch.append(batch)
        if sum(held.nbytes for held in bunch) >= TABLE_BYTES:
            yield bunch
            bunch = []
    if bunch:
        yield bunch


class _Balanced:
    """A file's bytes on their way to the block reader; an odd number of quotes means that one of them is never closed."""

    def __init__(self, file: RawFile, advance: Advance) -> None:
        self.file, self.quotes = open_bytes(file.path, file.name, advance), 0

    @property
    def balanced(self) -> bool:
        return self.quotes % 2 == 0

    @property
    def closed(self) -> bool:
        return self.file.closed

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        self.file.close()

"""CSV and TSV files. Blocks are read at once; if a block cannot be parsed, the file is read again row by row."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import csv as pacsv

from stagewright.components.ingestion.compression import Advance, open_bytes
from stagewright.components.ingestion.dialect import header_of
from stagewright.components.ingestion.guess import Guess
from stagewright.components.ingestion.judge import Settled
from stagewright.components.ingestion.records import Record, records
from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.textlines import encoding_of, lines, sample, undecoded
from stagewright.components.ingestion.valuetypes import ArrayType, Known, Types, ValueType, converted, read, trimmed
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError

BLOCK_BYTES = 1 << 18  # the reader buffers about 32 blocks, so the block size counts many times
BLOCK_BYTES_A_COLUMN = 512  # each column of a block has a fixed cost
# Enough rows to amortize the cost of an operation on a column, but limited in memory for wide tables.
TABLE_BYTES, TABLE_ROWS, MOST_TABLE_BYTES = 1 << 21, 4096, 64 << 20
EXACT_ROWS = 32_768
SAMPLE_LINES = 500


class _TroubleError(Exception):
    """A block has an error that only reading row by row can locate."""


class DelimitedFile:
    """A text file with a header and a delimiter. `settle` decides its types over all files together."""

    def __init__(self, file: RawFile, reading: Reading, delimiter: str | None = None, *, encoding: str | None = None) -> None:
        self.file, self.reading = file, reading
        self.encoding = encoding or reading.encoding or encoding_of(sample(file.path, file.name), file.name)
        head = list(islice(lines(file.path, file.name, self.encoding), SAMPLE_LINES))
        header, self.delimiter = header_of(head, (reading.delimiter if encoding is None else None) or delimiter, self.encoding)
        if header.fault:
            raise InputError(f"{file.name}, line {header.line}: {header.fault}; {self._remedy(header)}")
        if not header.fields:
            raise InputError(f"{file.name} begins with {SAMPLE_LINES} blank lines; take them away")
        self.columns = checked_names(header.fields, file.name, index=True)
        self.nameless = not header.fields[0].strip()
        self.header_line = header.line
        self.exact = header.line > 1  # there is text above the header
        self.settled: dict[str, Settled] = {}
        if any(line.strip() for line in head[: header.line - 1]):
            reading.notes.add(f"{file.name}: the header is on line {header.line}; what stands above it is left out")
        logs.event("file_opened", file=file.name, encoding=self.encoding, delimiter=self.delimiter, columns=len(self.columns))

    def types(self) -> Types:
        return {name: found.type for name, found in self.settled.items()}

    def learn(self, guesses: dict[str, Guess]) -> None:
        """Widen guesses by the values of the file; bad rows are reported on the way."""
        if not self.exact:
            before = deepcopy(guesses)
            try:
                self._learn(self._blocks(self.reading.advance), guesses)
            except _TroubleError:
                self.exact = True
                guesses.update(before)
        if self.exact:
            self._learn(self._rows(self.reading.advance, report=True), guesses)

    def again(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read some columns again, as text."""
        for text in self._texts(_no_progress):
            yield text.select(names)

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        for text in self._texts(self.reading.advance):
            yield pl.DataFrame([self._converted(text.get_column(name), known) for name, known in types.items()])

    def line_of(self, column: str, value: str) -> str:
        """Where a value of a column first occurs: "line 5"; empty if it does not occur."""
        place = self.columns.index(column)
        for row in self._records(_no_progress):
            if len(row.fields) == len(self.columns) and row.fields[place].strip() == value:
                return f"line {row.line}"
        return ""

    def _texts(self, advance: Advance) -> Iterator[pl.DataFrame]:
        return self._rows(advance, report=False) if self.exact else self._blocks(advance)

    def _learn(self, tables_of_text: Iterator[pl.DataFrame], guesses: dict[str, Guess]) -> None:
        for text in tables_of_text:
            for name, guess in guesses.items():
                guess.learn(text.get_column(name), self.reading.rules.missing)

    def _converted(self, text: pl.Series, known: Known | None) -> pl.Series:
        missing, found = self.reading.rules.missing, self.settled.get(text.name)
        if found is None or found.form is None or known in {None, ValueType.STRING} or isinstance(known, ArrayType):
            return converted(text, known, missing)
        return read(found.form.plain(trimmed(text, missing)), known)

    def _blocks(self, advance: Advance) -> Iterator[pl.DataFrame]:
        def refuse(_: Any) -> str:
            return "error"

        stream = _Balanced(self.file, advance, wide=self.encoding.startswith("utf-16") or self.encoding.startswith("utf-32"))
        try:
            # The system allocator returns memory at once; the default pool would retain a gigabyte.
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    use_threads=False,
                    block_size=max(BLOCK_BYTES, BLOCK_BYTES_A_COLUMN * len(self.columns)),
                    column_names=self.columns, skip_rows_after_names=1,
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
                yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches).combine_chunks()))
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise _TroubleError from error
        finally:
            stream.close()
        if not stream.balanced:
            raise _TroubleError

    def _records(self, advance: Advance) -> Iterator[Record]:
        text = lines(self.file.path, self.file.name, self.encoding, advance)
        return (row for row in records(text, self.delimiter, self.encoding) if row.line > self.header_line)

    def _rows(self, advance: Advance, *, report: bool) -> Iterator[pl.DataFrame]:
        good: list[list[str]] = []
        for row in self._records(advance):
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
    """Batches merged up to `TABLE_BYTES` and `TABLE_ROWS`, or `MOST_TABLE_BYTES` if that is less."""
    bunch: list[pa.RecordBatch] = []
    held = rows = 0
    for batch in batches:
        bunch.append(batch)
        held, rows = held + batch.nbytes, rows + batch.num_rows
        if held >= MOST_TABLE_BYTES or (held >= TABLE_BYTES and rows >= TABLE_ROWS):
            yield bunch
            bunch, held, rows = [], 0, 0
    if bunch:
        yield bunch


def _no_progress(_: float) -> None:
    """Report no progress."""


class _Balanced:
    """A file's bytes for the block reader. An odd number of quotes means that a quoted field is never closed."""

    def __init__(self, file: RawFile, advance: Advance, *, wide: bool) -> None:
        self.wide = wide  # characters of two or four bytes, some of which are zero
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
        if b"\0" in data and not self.wide:
            raise _TroubleError
        return data

    def close(self) -> None:
        self.file.close()

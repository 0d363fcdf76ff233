"""Read raw data into one table, in two passes: the first learns the types over all rows, the second converts and stores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars.io.plugins import register_io_source

from stagewright.components.ingestion.commontypes import common_types, plain
from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.dialect import known_delimiter
from stagewright.components.ingestion.locate import locate_files
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.opening import AUTO, FORMATS, Pictures, opened
from stagewright.components.ingestion.partition import with_partitions
from stagewright.components.ingestion.quarantine import BadRows
from stagewright.components.ingestion.rules import Rules, rules
from stagewright.components.ingestion.source import Reading, Source
from stagewright.components.ingestion.textlines import known_encoding
from stagewright.components.ingestion.typedtexts import note_text_columns
from stagewright.components.ingestion.valuetypes import Types, dtype
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import InputError, StagewrightError, one_of
from stagewright.components.runtime.progress import progress

MAX_TOLD = 20_000  # characters of notes in metadata
MAX_ROW_GROUP_BYTES, MIN_ROW_GROUP_ROWS = 64 << 20, 1024  # a row group is in memory while it is written


@dataclass(frozen=True, slots=True)
class Ingested:
    """The stored tables.

    Attributes:
        source: Where the data came from, without passwords.
        notes: How the files were read, in sentences without a full stop.
    """

    table: tables.TableInfo
    quarantine: tables.TableInfo
    source: str
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The notes as text for metadata, one per line, as many as fit."""
        text = ""
        for note in self.notes:
            if len(text) + len(note) > MAX_TOLD:
                break
            text += note + "\n"
        return text.rstrip()


def ingest(
    data: str,
    table: str | Path,
    quarantine: str | Path,
    *,
    query: str = "",
    form: str = AUTO,
    encoding: str = AUTO,
    delimiter: str = AUTO,
    on_bad_row: str = "error",
    image_size: str = "",
    image_colours: str = "auto",
    decimal: str = AUTO,
    thousands: str = AUTO,
    missing: Iterable[str] = (),
    date_format: str = AUTO,
    drop: Iterable[str] = (),
    kinds: Mapping[str, str] | None = None,
) -> Ingested:
    """Read raw data into one table; memory use is bounded, whatever the size of the data.

    Args:
        data: A file, a glob, a folder (of files with the same columns, or of images by class), an `s3://` object, prefix or
            glob, an http(s) URL, or a SQLAlchemy URL.
        table: Path of the table; rows keep their order, files are sorted by name.
        quarantine: Path of the table of rows that cannot be read: file, line, reason, text.
        query: SQL query for a database URL.
        form: auto (by the file extension), csv, tsv, jsonl, parquet, npz, excel or images.
        encoding: auto, or the encoding of text files.
        delimiter: auto, or the field delimiter.
        on_bad_row: error or quarantine.
        image_size: Size of all images, e.g. 32 or 48x64 (HxW pixels); empty for the most common size.
        image_colours: auto (grey if all are), grey or rgb.
        decimal, thousands, missing, date_format, drop, kinds: Parsing rules of text, see `rules.py`.

    Raises:
        InputError: If the data cannot be found or read, naming file and line.
        ServiceUnavailable: If an object store, a web server or a database does not answer.
    """
    one_of("format", form, (AUTO, *FORMATS))
    pictures = Pictures(image_size, image_colours)
    asked = rules(decimal, thousands, missing, date_format, drop, kinds)
    notes = Notes()
    with (
        TemporaryDirectory(prefix="stagewright-") as scratch,
        BadRows(Path(scratch) / "bad.jsonl", on_bad_row) as bad_rows,
        locate_files(data, query) as (files, source),
    ):
        # The stored bytes are read twice, except for Parquet, whose types are in the file.
        total = 2.0 * sum(_size(file.path) for file in files)
        with progress(f"read {source}", total=total, unit="bytes") as advance:
            reading = Reading(
                bad_rows,
                advance,
                None if encoding == AUTO else known_encoding(encoding),
                None if delimiter == AUTO else known_delimiter(delimiter),
                asked,
                notes,
            )
            sources = with_partitions([opened(file, form, reading, Path(scratch), pictures) for file in files])
            types = common_types(sources, asked, notes)
            stored = _store(sources, types, table, asked, notes)
        set_aside = bad_rows.write(quarantine)
    if stored.rows == 0:
        Path(table).unlink()
        if set_aside.rows == 0:
            Path(quarantine).unlink()
        raise InputError(_nothing_left(source, sources, set_aside.rows))
    logs.event(
        "data_ingested", source=source, files=len(files), rows=stored.rows, columns=stored.columns, bad_rows=set_aside.rows
    )
    told = tuple(notes.sentences())
    for sentence in told:
        logs.notice(sentence)
    return Ingested(stored, set_aside, source, told)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _store(sources: Sequence[Source], types: Types, path: str | Path, asked: Rules, notes: Notes) -> tables.TableInfo:
    failures: list[StagewrightError] = []
    batches = (batch for source in sources for batch in source.batches(types))
    first = next(batches, pl.DataFrame(schema={name: dtype(known) for name, known in types.items()}))
    if not isinstance(own := plain(sources[0]), DelimitedFile):
        note_text_columns(first.select(name for name in first.columns if name in own.columns), asked, notes)

    def produce(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        try:
            yield first
            yield from batches
        except StagewrightError as error:
            failures.append(error)  # the engine would wrap it in an error of its own
            raise

    row_bytes = max(1, first.estimated_size() // max(1, first.height))
    fitting_rows = max(MIN_ROW_GROUP_ROWS, int(MAX_ROW_GROUP_BYTES // row_bytes))
    try:
        frame = register_io_source(produce, schema=first.schema)
        return tables.write_table(frame, path, row_group_rows=min(tables.ROW_GROUP_ROWS, fitting_rows))
    except pl.exceptions.PolarsError:
        if failures:
            raise failures[0] from None
        raise


def _nothing_left(source: str, sources: Sequence[Source], bad_rows: int) -> str:
    if bad_rows:
        return f"none of the {bad_rows} rows of {source} can be read; look at the quarantine table for the reasons"
    return f"{source} has {'a header' if isinstance(plain(sources[0]), DelimitedFile) else 'columns'} but no rows"

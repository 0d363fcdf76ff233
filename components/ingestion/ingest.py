"""Raw data in, one table out: read twice, first to learn the types over all of it, then to convert and store."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars.io.plugins import register_io_source

from stagewright.components.ingestion.arrays import ArrayFile
from stagewright.components.ingestion.badrows import BadRows
from stagewright.components.ingestion.bytestreams import compression, open_bytes
from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.dialect import known_delimiter
from stagewright.components.ingestion.images import COLOURS, ImageFolder, parse_size
from stagewright.components.ingestion.jsonlines import JsonLinesFile
from stagewright.components.ingestion.locate import format_of, located
from stagewright.components.ingestion.parquetfile import ParquetFile, mergeable
from stagewright.components.ingestion.source import RawFile, Reading, Source
from stagewright.components.ingestion.textlines import known_encoding
from stagewright.components.ingestion.valuetypes import Types, dtype, widened
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import InputError, StagewrightError, one_of
from stagewright.components.runtime.progress import progress

FORMATS = ("csv", "tsv", "jsonl", "parquet", "npz", "images")
AUTO = "auto"
MAX_ROW_GROUP_BYTES, MIN_ROW_GROUP_ROWS = 64 << 20, 1024  # a row group is held in memory while it is written


@dataclass(frozen=True, slots=True)
class Pictures:
    """What pictures are brought to: see `ingest`."""

    size: str
    colours: str

    def __post_init__(self) -> None:
        parse_size(self.size)
        one_of("image_colours", self.colours, COLOURS)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was stored.

    Attributes:
        source: Where it came from, without passwords.
    """

    table: tables.TableInfo
    quarantine: tables.TableInfo
    source: str


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
) -> Ingested:
    """Read raw data into one table; memory stays bounded whatever the size of the data.

    Args:
        data: A file, a glob, a folder (of files with the same columns, or of pictures by class), an `s3://` object, prefix or
            glob, an http(s) URL, or a SQLAlchemy URL.
        table: Where to store the rows, in their order; files follow each other sorted by name.
        quarantine: Where to store rows that cannot be read: file, line, reason, text.
        query: What to ask the database.
        form: auto (by the file's ending), csv, tsv, jsonl, parquet, npz or images.
        encoding: auto, or the encoding of text files.
        delimiter: auto, or what separates fields.
        on_bad_row: error or quarantine.
        image_size: Height and width that pictures are brought to, such as 32 or 48x64; empty for the commonest of them.
        image_colours: auto (grey if all are), grey or rgb.

    Raises:
        InputError: If the data cannot be found or read, naming file and line.
        ServiceUnavailable: If an object store, a server or a database does not answer.
    """
    one_of("format", form, (AUTO, *FORMATS))
    pictures = Pictures(image_size, image_colours)
    with (
        TemporaryDirectory(prefix="stagewright-") as scratch,
        BadRows(Path(scratch) / "bad.jsonl", on_bad_row) as bad_rows,
        located(data, query) as (files, source),
    ):
        # The stored bytes are read twice, but for Parquet, whose types stand in the file.
        total = 2.0 * sum(_size(file.path) for file in files)
        with progress(f"read {source}", total=total, unit="bytes") as advance:
            reading = Reading(
                bad_rows,
                advance,
                None if encoding == AUTO else known_encoding(encoding),
                None if delimiter == AUTO else known_delimiter(delimiter),
            )
            sources = [_opened(file, form, reading, Path(scratch), pictures) for file in files]
            types = _common_types(sources)
            stored = _store(sources, types, table)
        set_aside = bad_rows.write(quarantine)
    if stored.rows == 0:
        Path(table).unlink()
        if set_aside.rows == 0:
            Path(quarantine).unlink()
        raise InputError(_nothing_left(source, sources, set_aside.rows))
    logs.event(
        "data_ingested", source=source, files=len(files), rows=stored.rows, columns=stored.columns, bad_rows=set_aside.rows
    )
    return Ingested(stored, set_aside, source)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _opened(file: RawFile, form: str, reading: Reading, scratch: Path, pictures: Pictures) -> Source:
    if file.path.is_dir():
        form = one_of("format", "images" if form == AUTO else form, ("images",))
    form = (format_of(file.name) or format_of(file.path.name) or AUTO) if form == AUTO else form
    if form == "parquet":
        return ParquetFile(_unpacked(file, scratch), reading)
    if form == "npz":
        return ArrayFile(_unpacked(file, scratch), reading)
    if form == "images":
        return ImageFolder(file, reading, scratch, size=pictures.size, colours=pictures.colours)
    if form == "jsonl":
        return JsonLinesFile(file, reading)
    if form in {"csv", "tsv"}:
        return DelimitedFile(file, reading, "\t" if form == "tsv" else None)
    raise InputError(
        f"the format of {file.name} cannot be told from its name; set 'format' to {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    )


def _unpacked(file: RawFile, scratch: Path) -> RawFile:
    """A file that can be read from any position; Parquet begins at its end."""
    if compression(file.path) is None:
        return file
    plain = scratch / f"{len(list(scratch.iterdir()))}.unpacked"
    with open_bytes(file.path, file.name) as packed, plain.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    return RawFile(plain, file.name)


def _common_types(sources: Sequence[Source]) -> Types:
    """The types of the columns over all files, in the first file's order.

    Raises:
        InputError: If a file has other columns, or a typed file another kind of values.
    """
    first = sources[0]
    for other in sources[1:]:
        _check_same_columns(first, other)
    common = dict(first.types())
    for other in sources[1:]:
        for name, found in other.types().items():
            if isinstance(other, ParquetFile) and not mergeable(common[name], found):
                raise InputError(
                    f"{other.file.name}: column '{name}' holds {found} values; in {first.file.name} it holds {common[name]}"
                )
            common[name] = widened(common[name], found)
    return common


def _check_same_columns(first: Source, other: Source) -> None:
    missing = [name for name in first.columns if name not in other.columns]
    extra = [name for name in other.columns if name not in first.columns]
    if missing or extra:
        clauses = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        clauses += [f"has {', '.join(map(repr, extra))} besides"] if extra else []
        raise InputError(
            f"{other.file.name} {' and '.join(clauses)}, compared with {first.file.name}; "
            "files read together need the same columns"
        )


def _store(sources: Sequence[Source], types: Types, path: str | Path) -> tables.TableInfo:
    failures: list[StagewrightError] = []
    batches = (batch for source in sources for batch in source.batches(types))
    first = next(batches, pl.DataFrame(schema={name: dtype(known) for name, known in types.items()}))

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
        return tables.write(frame, path, row_group_rows=min(tables.ROW_GROUP_ROWS, fitting_rows))
    except pl.exceptions.PolarsError:
        if failures:
            raise failures[0] from None
        raise


def _nothing_left(source: str, sources: Sequence[Source], bad_rows: int) -> str:
    if bad_rows:
        return f"none of the {bad_rows} rows of {source} can be read; look at the quarantine table for the reasons"
    return f"{source} has {'a header' if isinstance(sources[0], DelimitedFile) else 'columns'} but no rows"

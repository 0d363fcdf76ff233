"""From a file to a source of rows, by its format; archives, compressed files and workbooks are unpacked first."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from stagewright.components.ingestion import archives
from stagewright.components.ingestion.arrays import ArrayFile
from stagewright.components.ingestion.compression import compression, copy, open_bytes
from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.images import COLOURS, ImageFolder, is_picture, parse_size
from stagewright.components.ingestion.jsonlines import JsonLinesFile
from stagewright.components.ingestion.locate import format_of
from stagewright.components.ingestion.parquetfile import ParquetFile
from stagewright.components.ingestion.source import RawFile, Reading, Source
from stagewright.components.runtime.errors import InputError, one_of

FORMATS = ("csv", "tsv", "jsonl", "parquet", "npz", "excel", "images")
AUTO = "auto"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Pictures:
    """Size and color mode of images: see `ingest`."""

    size: str
    colours: str

    def __post_init__(self) -> None:
        parse_size(self.size)
        one_of("image_colours", self.colours, COLOURS)


def opened(file: RawFile, form: str, reading: Reading, scratch: Path, pictures: Pictures) -> Source:
    """Open a file for reading.

    Raises:
        InputError: If its format is unknown, or the content does not match it.
    """
    if file.path.is_dir():
        form = one_of("format", "images" if form == AUTO else form, ("images",))
    elif archives.is_archive(file.name) and form != "images" and (inner := _data_file(file, scratch)) is not None:
        file = inner
    form = (format_of(file.name) or format_of(file.path.name) or AUTO) if form == AUTO else form
    if form == "parquet":
        return ParquetFile(_unpacked(file, scratch), reading)
    if form == "npz":
        return ArrayFile(_unpacked(file, scratch), reading)
    if form in {"images", "archive"}:
        return ImageFolder(file, reading, scratch, size=pictures.size, colours=pictures.colours)
    if form == "jsonl":
        return JsonLinesFile(file, reading)
    if form == "excel":
        from stagewright.components.ingestion.excel import as_csv

        return DelimitedFile(as_csv(_unpacked(file, scratch), scratch, reading.notes), reading, ",", encoding="utf-8")
    if form in {"csv", "tsv"}:
        return DelimitedFile(file, reading, "\t" if form == "tsv" else None)
    raise InputError(
        f"the format of {file.name} cannot be told from its name; set 'format' to {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    )


def _unpacked(file: RawFile, scratch: Path) -> RawFile:
    """A seekable file; Parquet is read from its end."""
    if compression(file.path) is None:
        return file
    plain = _new(scratch, "unpacked")
    with open_bytes(file.path, file.name) as packed, plain.open("wb") as target:
        copy(cast(BinaryIO, packed), target, file.path.stat().st_size, file.name)
    return RawFile(plain, file.name, file.partition)


def _data_file(file: RawFile, scratch: Path) -> RawFile | None:
    """The single data file of an archive; None if it contains images.

    Raises:
        InputError: If there are several, or neither a data file nor an image.
    """
    with archives.opened(file.path, file.name) as archive:
        names = archive.names
        found = [name for name in names if format_of(name) not in {None, "archive"}]
        if any(is_picture(name) for name in names) and not found:
            return None
        if len(found) != 1:
            raise InputError(f"{file.name} holds {_told(found, names)}; {_advice(found)}")
        plain = _new(scratch, PurePosixPath(found[0]).name)
        archive.extract(found[0], plain)
    return RawFile(plain, f"{file.name}/{found[0]}", file.partition)


def _told(found: list[str], names: list[str]) -> str:
    if found:
        return f"{len(found)} data files ({', '.join(found[:_SHOWN])}{', ...' * (len(found) > _SHOWN)})"
    return f"no data file and no pictures ({', '.join(names[:_SHOWN]) or 'it is empty'})"


def _advice(found: list[str]) -> str:
    return (
        "unpack it and give one of them, or their folder" if found else "data files end in .csv, .parquet, .jsonl and the like"
    )


def _new(scratch: Path, name: str) -> Path:
    return scratch / f"{len(list(scratch.iterdir()))}.{name}"

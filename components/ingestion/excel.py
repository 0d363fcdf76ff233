"""Excel workbooks and OpenDocument sheets: the first sheet, converted to CSV and then read like any other."""

import csv
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from stagewright.components.ingestion.compression import check_ratio
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.source import RawFile
from stagewright.components.runtime.errors import InputError

_MIDNIGHT = time()


def as_csv(file: RawFile, scratch: Path, notes: Notes) -> RawFile:
    """Convert the first sheet to a CSV file, one row per line.

    Raises:
        InputError: If the reader is not installed, the file is not a workbook, or the sheet is empty.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise InputError(
            f"{file.name} is a workbook, which needs the package python-calamine: install stagewright[base], "
            "or save the sheet as CSV"
        ) from None
    _check_size(file)
    try:
        book = CalamineWorkbook.from_path(str(file.path))
        names = list(book.sheet_names)
        rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False) if names else []
    except (CalamineError, OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read as a workbook: {str(error).splitlines()[0]}") from None
    if not any(any(value != "" for value in row) for row in rows):
        raise InputError(f"{file.name}: the first sheet, '{names[0] if names else ''}', is empty; move the table to it")
    if len(names) > 1:
        notes.add(f"{file.name}: of {len(names)} sheets only the first, '{names[0]}', is read")
    plain = scratch / f"{len(list(scratch.iterdir()))}.csv"
    with plain.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows(_texts(rows))
    return RawFile(plain, file.name, file.partition)


def _check_size(file: RawFile) -> None:
    from zipfile import BadZipFile, ZipFile, is_zipfile

    if is_zipfile(file.path):
        try:
            with ZipFile(file.path) as packed:
                for part in packed.infolist():
                    check_ratio(part.file_size, part.compress_size, f"{file.name}: {part.filename}")
        except BadZipFile:
            pass  # the reader reports what is wrong


def _texts(rows: list[list[Any]]) -> Iterator[list[str]]:
    filled = [any(row[place] != "" for row in rows) for place in range(max(map(len, rows)))]
    width = len(filled) - next(at for at, used in enumerate(reversed(filled)) if used)
    first = filled.index(True)
    for row in rows:
        yield [_text(value) for value in row[first:width]]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == _MIDNIGHT else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value.total_seconds()) if isinstance(value, timedelta) else str(value)

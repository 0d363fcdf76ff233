"""Detection of the delimiter of a text file and of its header line."""

import re
from collections import Counter
from itertools import islice

from stagewright.components.ingestion.records import Record, records
from stagewright.components.runtime.errors import BadParameter

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
_BY_NAME = {name: delimiter for delimiter, name in DELIMITERS.items()} | {"\\t": "\t"}
_ROWS = 200
MAX_TITLES = 10  # lines above a header
_NUMBER = re.compile(r"[-+]?[0-9.,]+")


def header_of(lines: list[str], delimiter: str | None, encoding: str) -> tuple[Record, str]:
    """The header of a file that begins with these lines, and the delimiter.

    Unless given, the delimiter is the one that splits most rows into as many fields as the header has; delimiters inside
    quotes do not count. It is a comma if none matches (a file of one column). Title lines above the header are skipped.
    """
    found: tuple[Record, str] | None = None
    best = (0.0, 0)
    for candidate in [delimiter] if delimiter else DELIMITERS:
        rows = list(islice(records(iter(lines), candidate, encoding), _ROWS))
        if not rows:
            continue
        at = _header_place(rows)
        width = len(rows[at].fields)
        if width < 2:
            continue
        widths = [len(row.fields) for row in rows[at + 1 :]] or [width]
        score = (Counter(widths)[width] / len(widths), width)
        if score > best:
            found, best = (rows[at], candidate), score
    return found or (next(records(iter(lines), delimiter or ",", encoding), Record(1, [], "")), delimiter or ",")


def _header_place(rows: list[Record]) -> int:
    """Index of the header record: the first, unless only titles precede a record with as many fields as the rows."""
    commonest = Counter(len(row.fields) for row in rows).most_common(1)[0][0]
    for place, row in enumerate(rows[: MAX_TITLES + 1]):
        if place and len(row.fields) == commonest and _may_be_header(row.fields):
            return place
        if commonest < 2 or not _is_title(row.fields):
            break
    return 0


def _is_title(fields: list[str]) -> bool:
    return bool(fields) and bool(fields[0].strip()) and not any(field.strip() for field in fields[1:])


def _may_be_header(fields: list[str]) -> bool:
    named = [field.strip() for field in fields]
    return all(named[1:]) and len(set(named)) == len(named) and not any(_NUMBER.fullmatch(name) for name in named)


def known_delimiter(delimiter: str) -> str:
    """The given delimiter: one character, or comma, tab, semicolon, pipe by name.

    Raises:
        BadParameter: If it is neither.
    """
    character = _BY_NAME.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n' or not character.isascii():
        raise BadParameter("delimiter", got=delimiter, expected="auto, one character, or comma, tab, semicolon or pipe")
    return character

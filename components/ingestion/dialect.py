"""Which character separates the fields of a text file."""

import csv
from collections import Counter

from stagewright.components.runtime.errors import BadParameter

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
_BY_NAME = {name: delimiter for delimiter, name in DELIMITERS.items()} | {"\\t": "\t"}
_ROWS = 200


def delimiter_of(lines: list[str]) -> str:
    """The delimiter of a sample of lines: the one that splits the most rows into as many fields as the header has.

    Delimiters inside quotes do not count. A comma, for a file of one column, if none fits.
    """
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = [len(fields) for fields in csv.reader(lines, delimiter=delimiter) if fields][:_ROWS]
        if not widths or widths[0] < 2:
            continue
        rows = widths[1:] or widths
        score = (Counter(rows)[widths[0]] / len(rows), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def known_delimiter(delimiter: str) -> str:
    """The delimiter that was asked for: one character, or comma, tab, semicolon, pipe by name.

    Raises:
        BadParameter: If it is neither.
    """
    character = _BY_NAME.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n' or not character.isascii():
        raise BadParameter("delimiter", got=delimiter, expected="auto, one character, or comma, tab, semicolon or pipe")
    return character

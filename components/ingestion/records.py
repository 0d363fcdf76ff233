"""Delimited text parsed row by row: fields of each row, its first physical line, and its error if there is one.

It is slower than the block reader, and is used when that reader fails. Both parse the same dialect (RFC 4180; a quote inside an
unquoted field is an ordinary character), so a file gives the same rows either way.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stagewright.components.ingestion.textlines import MAX_ROW, undecoded


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        line: 1-based physical line on which it begins.
        fault: Why it cannot be parsed, as a clause; None for a good row.
        text: Its text in the file.
    """

    line: int
    fields: list[str]
    text: str
    fault: str | None = None


def records(lines: Iterator[str], delimiter: str, encoding: str) -> Iterator[Record]:
    """Rows of a delimited text; blank lines are skipped.

    A quote that is never closed affects only the line where it opens: parsing continues with the next line.
    """
    source = _Lines(lines)
    reader = _reader(source, delimiter)
    while True:
        source.begin()
        try:
            fields = next(reader)
            open_quote = source.ended
        except StopIteration:
            return
        except csv.Error:
            open_quote = True
        if open_quote:
            text = source.keep_first()
            yield Record(source.line, [], text, "a quote is opened and never closed")
            reader = _reader(source, delimiter)
        elif fields:
            text = source.text
            fault = undecoded(text, encoding) or ("it holds a NUL character" if "\0" in text else None)
            yield Record(source.line, fields, text, fault)


def _reader(source: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_ROW)
    return csv.reader(source, delimiter=delimiter, quotechar='"', doublequote=True)


class _Lines(Iterator[str]):
    """Physical lines with their numbers. The lines of the current row are kept, so that they can be pushed back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.returned: deque[str] = deque()
        self.taken: list[str] = []
        self.characters = 0
        self.line = 1
        self.ended = False

    def __next__(self) -> str:
        if self.characters > MAX_ROW:
            raise csv.Error("row too long")
        line = self.returned.popleft() if self.returned else next(self.lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        self.characters += len(line)
        return line

    def begin(self) -> None:
        """Start a new row with the next line."""
        self.line += len(self.taken)
        self.taken, self.characters, self.ended = [], 0, False

    def keep_first(self) -> str:
        """Push back all lines of the row except the first."""
        self.returned.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]
        return self.taken[0]

    @property
    def text(self) -> str:
        return self.taken[0] if len(self.taken) == 1 else "".join(self.taken)

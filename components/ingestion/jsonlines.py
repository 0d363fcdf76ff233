"""JSON Lines files: one object per line; an absent key is a missing value. JSON types are kept.

Text becomes a time only if all values are ISO dates or times, because JSON has no type for them.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
import polars as pl

from stagewright.components.ingestion.model_types import TEXTS
from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.textlines import encoding_of, lines, sample, undecoded
from stagewright.components.ingestion.valuetypes import Known, Types, ValueType, fits, read, widened
from stagewright.components.runtime.errors import InputError

BATCH_ROWS = 8192
INT64 = range(-(2**63), 2**63)
_OF_PYTHON = {bool: ValueType.BOOLEAN, int: ValueType.INTEGER, float: ValueType.FLOAT}
_TIMES = (ValueType.DATE, ValueType.DATETIME)

_HALF = re.compile("[\ud800-\udfff]")  # a lone surrogate

Row = dict[str, Any]


class JsonLinesFile:
    """A text file with one JSON object per line."""

    def __init__(self, file: RawFile, reading: Reading) -> None:
        self.file, self.reading = file, reading
        content = sample(file.path, file.name)
        self.encoding = reading.encoding or encoding_of(content, file.name)
        if content.lstrip().startswith(b"["):
            raise InputError(
                f"{file.name} is one JSON array; write it as JSON Lines: one object a line, no brackets around them"
            )
        self._types: Types = {}
        for rows in self._batches(report=True):
            self._learn(rows)
        self.columns = checked_names(list(self._types), file.name)

    def types(self) -> Types:
        texts = [name for name, kind in self.reading.rules.kinds.items() if kind in TEXTS and name in self._types]
        return self._types | dict.fromkeys(texts, ValueType.STRING)

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        for rows in self._batches(report=False):
            yield pl.DataFrame([_series(name, [row.get(name) for row in rows], known) for name, known in types.items()])

    def _learn(self, rows: list[Row]) -> None:
        names = dict.fromkeys(self._types) | dict.fromkeys(name for row in rows for name in row)
        for name in names:
            values = [value for row in rows if (value := row.get(name)) is not None]
            self._types[name] = _learned(self._types.get(name), values)

    def _batches(self, *, report: bool) -> Iterator[list[Row]]:
        rows = self._rows(report=report)
        while batch := list(islice(rows, BATCH_ROWS)):
            yield batch

    def _rows(self, *, report: bool) -> Iterator[Row]:
        text = lines(self.file.path, self.file.name, self.encoding, self.reading.advance)
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            row, fault = _parsed(line, self.encoding)
            if fault is None:
                yield row
            elif report:
                self.reading.bad_rows.add(self.file.name, number, fault, line)


def _parsed(line: str, encoding: str) -> tuple[Row, str | None]:
    """The object of a line, and why it could not be parsed."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        if fault := undecoded(line, encoding):
            return {}, fault
        try:
            row = json.loads(line)  # accepts NaN and Infinity, which several writers produce
        except (ValueError, RecursionError) as error:
            return {}, f"not valid JSON ({error})"
    if not isinstance(row, dict):
        return {}, "not a JSON object"
    for name, value in row.items():
        if isinstance(value, dict | list):
            return {}, f"field '{name}' holds {'an object' if isinstance(value, dict) else 'a list'}, not a single value"
        if fault := _unstorable(name) or (_unstorable(value) if isinstance(value, str) else None):
            return {}, f"field {name!a} holds {fault}"
    return row, None


def _unstorable(text: str) -> str | None:
    """Why a table cannot store a text, as a clause."""
    if "\0" in text:
        return "a NUL character"
    if not text.isascii() and (half := _HALF.search(text)):
        return f"half of a character (\\u{ord(half.group()):04x})"
    return None


def _learned(known: Known | None, values: list[Any]) -> Known | None:
    """The type of a column so far, widened as these values require."""
    for kind in set(map(type, values)):
        if kind is str:
            known = widened(known, _type_of_text([value for value in values if type(value) is str], known))
        elif kind is int and not (
            min(v for v in values if type(v) is int) in INT64 and max(v for v in values if type(v) is int) in INT64
        ):
            known = ValueType.STRING
        else:
            known = widened(known, _OF_PYTHON[kind])
    return known


def _type_of_text(values: list[str], known: Known | None) -> ValueType:
    if known is None or known in _TIMES:
        text = pl.Series(values, dtype=pl.String)
        return next((time for time in _TIMES if fits(text, time)), ValueType.STRING)
    return ValueType.STRING


def _series(name: str, values: list[Any], known: Known | None) -> pl.Series:
    if isinstance(known, ValueType) and known in _TIMES:
        return read(pl.Series(name, values, dtype=pl.String), known)
    if known in (None, ValueType.STRING):
        return pl.Series(name, [_text(value) for value in values], dtype=pl.String)
    if known is ValueType.FLOAT:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, values, dtype=pl.Boolean if known is ValueType.BOOLEAN else pl.Int64)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)

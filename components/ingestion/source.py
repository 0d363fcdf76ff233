"""What a file of raw data offers, whatever its format: its columns, their types, and its rows read as given types."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from stagewright.components.ingestion.badrows import BadRows
from stagewright.components.ingestion.bytestreams import Advance
from stagewright.components.ingestion.valuetypes import Types
from stagewright.components.runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file on this machine and what it is called in messages."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read.

    Attributes:
        encoding: As asked for; None to detect it.
        delimiter: As asked for; None to detect it.
        advance: Told the number of stored bytes as they are read.
    """

    bad_rows: BadRows
    advance: Advance
    encoding: str | None = None
    delimiter: str | None = None


class Source(Protocol):
    """One file of raw data, read twice: once to learn the types, once to convert. Never held in memory as a whole."""

    file: RawFile
    columns: list[str]

    def types(self) -> Types:
        """The type of each column over the whole file; bad rows are handed over on the way."""
        ...

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        """The good rows in their order, as tables with the columns of `types`."""
        ...


def checked_names(names: list[str], file: str) -> list[str]:
    """Column names without surrounding blanks.

    Raises:
        InputError: If one is empty or stands twice.
    """
    stripped = [name.strip() for name in names]
    for number, name in enumerate(stripped, 1):
        if not name:
            raise InputError(f"{file}: column {number} of {len(stripped)} has no name in the header; give it one")
    twice = sorted({name for name in stripped if stripped.count(name) > 1})
    if twice:
        raise InputError(f"{file}: column name {', '.join(map(repr, twice))} stands more than once in the header")
    return stripped

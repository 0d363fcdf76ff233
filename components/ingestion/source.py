"""What a file of raw data offers, whatever its format: its columns, their types, and its rows read as given types."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from stagewright.components.ingestion.compression import Advance
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.quarantine import BadRows
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.valuetypes import Types
from stagewright.components.runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file on this machine and what it is called in messages.

    Attributes:
        partition: Columns that its folders give, such as region from region=north/.
    """

    path: Path
    name: str
    partition: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read.

    Attributes:
        encoding: As asked for; None to detect it.
        delimiter: As asked for; None to detect it.
        advance: Told the number of stored bytes as they are read.
        rules: How text becomes values.
        notes: Takes what the user should know.
    """

    bad_rows: BadRows
    advance: Advance
    encoding: str | None = None
    delimiter: str | None = None
    rules: Rules = field(default_factory=Rules)
    notes: Notes = field(default_factory=Notes)


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


UNNAMED = "Unnamed: 0"  # what pandas calls a first column without a name when it reads a file


def checked_names(names: list[str], file: str, *, index: bool = False) -> list[str]:
    """Column names without surrounding blanks.

    Args:
        index: Whether the first may be empty, as that of an index is; it is then `UNNAMED`.

    Raises:
        InputError: If one is empty or stands twice.
    """
    stripped = [name.strip() for name in names]
    if index and not stripped[0] and len(stripped) > 1:
        stripped[0] = UNNAMED
    for number, name in enumerate(stripped, 1):
        if not name:
            raise InputError(f"{file}: column {number} of {len(stripped)} has no name in the header; give it one")
    twice = sorted(name for name, times in Counter(stripped).items() if times > 1)
    if twice:
        raise InputError(f"{file}: column name {', '.join(map(repr, twice))} stands more than once in the header")
    return stripped

"""Interface of raw data files of any format: columns, types, and rows read as given types."""

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
    """A file on this machine and its name in messages.

    Attributes:
        partition: Partition columns of its path, such as region from region=north/.
    """

    path: Path
    name: str
    partition: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading files.

    Attributes:
        encoding: Given encoding; None to detect it.
        delimiter: Given delimiter; None to detect it.
        advance: Called with the number of stored bytes as they are read.
        rules: Parsing rules of text.
        notes: Receives notes for the user.
    """

    bad_rows: BadRows
    advance: Advance
    encoding: str | None = None
    delimiter: str | None = None
    rules: Rules = field(default_factory=Rules)
    notes: Notes = field(default_factory=Notes)


class Source(Protocol):
    """One file of raw data, read twice: to learn the types, then to convert. It is never in memory as a whole."""

    file: RawFile
    columns: list[str]

    def types(self) -> Types:
        """The type of each column over the whole file; bad rows are reported on the way."""
        ...

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        """The good rows in their order, as tables with the columns of `types`."""
        ...


UNNAMED = "Unnamed: 0"  # name that pandas gives to an unnamed first column


def checked_names(names: list[str], file: str, *, index: bool = False) -> list[str]:
    """Column names without surrounding blanks.

    Args:
        index: Whether the first name may be empty, as for an index; it is then `UNNAMED`.

    Raises:
        InputError: If a name is empty or occurs twice.
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

"""Delimited files together: learn their types, decide each column once, and leave out an unnamed index."""

from collections.abc import Iterator, Sequence

import polars as pl

from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.guess import Guess
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.settle import settle
from stagewright.components.ingestion.source import UNNAMED
from stagewright.components.runtime.errors import InputError


def settle_files(files: Sequence[DelimitedFile], rules: Rules, notes: Notes) -> set[str]:
    """Set the column types of each file.

    Returns:
        Columns that are left out: an unnamed index.

    Raises:
        InputError: If a first column has no name and is not an index.
    """
    names = [name for name in files[0].columns if name not in rules.drop]
    guesses = {name: Guess() for name in names}
    for file in files:
        file.learn(guesses)

    def tables(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for file in files:
            yield from file.again(columns)

    def line_of(column: str, value: str) -> str:
        found = ((file, file.line_of(column, value)) for file in files)
        return next((f"{file.file.name}, {line}" if len(files) > 1 else line for file, line in found if line), "one")

    left_out = {UNNAMED} if UNNAMED in names and UNNAMED not in rules.kinds and _is_index(files, notes) else set()
    for name in left_out:
        del guesses[name]
    settled = settle(
        guesses, tables, rules, notes, semicolons=all(file.delimiter == ";" for file in files), line_of=line_of
    )  # fmt: skip
    for file in files:
        file.settled = settled
    return left_out


def _is_index(files: Sequence[DelimitedFile], notes: Notes) -> bool:
    """Whether the unnamed first column has a different value in each row."""
    nameless = any(file.nameless for file in files)
    for file in files:
        values = [table.to_series() for table in file.again([UNNAMED])]
        rows = sum(map(len, values))
        if file.columns[0] != UNNAMED or not values or pl.concat(values).n_unique() != rows:
            if nameless:
                raise InputError(
                    f"{file.file.name}: column 1 of {len(file.columns)} has no name in the header; give it one, "
                    f"or leave it out with --drop '[\"{UNNAMED}\"]'"
                )
            return False
    notes.add("the first column has no name and another value in each row: it is an index and left out")
    return True

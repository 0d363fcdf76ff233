"""Decisions on the columns of text files, once per column over all files: plain type, another format, or text with a note.

A format is used only if it fits every value of the column and is unambiguous. An ambiguity is resolved by a value that fits one
format alone, by the delimiter (a semicolon implies a decimal comma), by another column of the files, or by a parameter.
Missing-value markers among numbers and dates are missing, and so are a few exceptional texts, with a note.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from stagewright.components.ingestion.dateforms import DateForm
from stagewright.components.ingestion.guess import Guess
from stagewright.components.ingestion.judge import LineOf, Settled, conventions, decide
from stagewright.components.ingestion.model_types import TEXTS, as_the_model_takes, second_look
from stagewright.components.ingestion.notes import Notes, listed
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.tally import Tally
from stagewright.components.ingestion.valuetypes import ValueType

Tables = Callable[[Sequence[str]], Iterator[pl.DataFrame]]
_SHOWN_MARKERS = 5


def settle(
    guesses: Mapping[str, Guess], tables: Tables, rules: Rules, notes: Notes, *, semicolons: bool, line_of: LineOf
) -> dict[str, Settled]:
    """Decide the type of every column; write notes to `notes`.

    Args:
        guesses: Results of the first pass.
        tables: Reads some columns again, as text.
        semicolons: Whether the delimiter is a semicolon.
        line_of: Where a value of a column first occurs: file and line.

    Raises:
        InputError: If a model's input types are given and a value is not of its column's type.
    """
    settled = {name: Settled(guess.type) for name, guess in guesses.items()}
    tallies = _tallied([name for name, guess in guesses.items() if _doubtful(name, guess, rules)], tables, rules)
    known = conventions(tallies, rules, semicolons=semicolons)
    markers = {name: guess.markers for name, guess in guesses.items()}
    for name, tally in tallies.items():
        said = Notes() if name in rules.kinds else notes
        found = decide(name, tally, known, said, line_of)
        if found is not None:
            settled[name], markers[name] = found, tally.markers
        if name in rules.kinds:
            as_the_model_takes(name, rules, settled[name], tally, line_of, semicolons=semicolons)
    for name, kind in rules.kinds.items():
        if name in guesses and kind in TEXTS:
            settled[name] = Settled(ValueType.STRING)
    _note_markers(settled, markers, notes)
    padded = [f"'{name}' ({guess.padded:,})" for name, guess in guesses.items()
              if guess.padded and settled[name].type is ValueType.STRING]  # fmt: skip
    if padded:
        notes.add(f"blanks around texts are taken away in column{'s' * (len(padded) > 1)} {listed(padded)}")
    return settled


def _doubtful(name: str, guess: Guess, rules: Rules) -> bool:
    if name in rules.kinds:
        return second_look(rules.kinds[name], guess)
    if guess.suspect:
        return True
    if guess.type is ValueType.FLOAT:
        return guess.grouped and rules.decimal != "."
    # A format such as %Y%m%d parses whole numbers as dates.
    return guess.type is ValueType.INTEGER and rules.date_format is not None and _digits_only(rules.date_format)


def _digits_only(form: str) -> bool:
    return not DateForm(form).format.replace("%", "").strip("dmyYHMSj")


def _tallied(names: Sequence[str], tables: Tables, rules: Rules) -> dict[str, Tally]:
    tallies = {name: Tally(rules) for name in names}
    if names:
        for table in tables(names):
            for name in table.columns:
                tallies[name].add(table.get_column(name))
    return tallies


def _note_markers(settled: Mapping[str, Settled], markers: Mapping[str, Counter[str]], notes: Notes) -> None:
    """Add one note on all markers that became missing values."""
    typed = {name: found for name, found in markers.items() if found and settled[name].type is not ValueType.STRING}
    if typed:
        texts = Counter(text for found in typed.values() for text in found)
        shown = listed([f"'{text}'" for text, _ in texts.most_common()], _SHOWN_MARKERS)
        columns = listed([f"'{name}' ({found.total():,})" for name, found in typed.items()])
        what = "are missing values" if len(texts) > 1 else "is a missing value"
        notes.add(f"{shown} {what} in columns of numbers, dates and booleans: {columns}")

"""Text in files that have types of their own, JSON Lines and Parquet, is text: a word where it looks like numbers or dates.

Whoever wrote the file could have stored numbers, so text may be meant: codes are digits, too. Nothing is changed, then.
"""

import polars as pl
from polars import selectors

from stagewright.components.ingestion.dateforms import DateForm
from stagewright.components.ingestion.guess import SUSPECT_SHARE
from stagewright.components.ingestion.judge import Conventions, decide
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.numberforms import PLAIN
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.tally import Tally
from stagewright.components.ingestion.valuetypes import ValueType

ROWS = 256  # of each column that are looked at
MIN_VALUES = 5


def note_text_columns(rows: pl.DataFrame, rules: Rules, notes: Notes) -> None:
    """Name the columns of text whose values all look like numbers with a decimal sign, or like dates."""
    texts = rows.head(ROWS).select(selectors.string() - selectors.by_name(*rules.kinds, require_all=False))
    with_digits = texts.select(selectors.all().str.contains("[0-9]").mean())
    for text in texts:
        if (with_digits[text.name][0] or 0) < SUSPECT_SHARE:
            continue
        tally = Tally(rules)
        tally.add(text)
        found = decide(text.name, tally, Conventions(None, None), Notes(), lambda *_: "")
        if found is None or tally.present < MIN_VALUES or not tally.full(found.form or PLAIN):
            continue
        if found.form is None and found.type is not ValueType.FLOAT:
            continue  # whole numbers may be codes
        what = "dates" if isinstance(found.form, DateForm) else "numbers"
        notes.of_column(
            text.name,
            f"text in the file, and stays text, although its values look like {what}",
            f"store it as {what}, or as a CSV file, whose texts are read as values",
            detail=f"'{tally.fits[found.form or PLAIN].example}'",
        )

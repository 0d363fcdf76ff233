"""Text columns in typed files (JSON Lines and Parquet) stay text; a note reports values that look like numbers or dates.

The writer of the file could have stored numbers, so text may be intended: codes are digits, too. The values are not changed.
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

ROWS = 256  # values of each column to check
MIN_VALUES = 5


def note_text_columns(rows: pl.DataFrame, rules: Rules, notes: Notes) -> None:
    """Note the text columns whose values all look like decimal numbers, or like dates."""
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

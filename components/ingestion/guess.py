"""First pass over text columns: the plain type that fits, and whether a second pass is needed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from stagewright.components.ingestion.valuetypes import MARKERS, Known, ValueType, fits, narrowest, trimmed, unmarked, widened

# A value that may be a number or a date in another format: it has a digit and few letters (such as km/h).
_LOOKS = r"^[^\p{L}]*(?:\p{L}{1,9}(?:/\p{L}{1,3})?[^\p{L}]*)?$"
_GROUPED = r"^[+-]?[0-9]{1,3}(?:\.[0-9]{3})*$"
SUSPECT_SHARE = 0.5


@dataclass(slots=True)
class Guess:
    """What is known about a column so far.

    Attributes:
        type: The narrowest plain type of all values; None before the first.
        present: Values that are neither blank nor a missing-value marker, counted while the column is text.
        looks: Values among them that may be a number or a date in another format.
        grouped: Whether a point precedes three digits in every value that has one, so that it may be a thousands separator.
        markers: Missing-value markers with their row counts.
        padded: Texts with surrounding blanks.
        measured: Values that were numbers or times before the first value that is neither.
    """

    type: Known | None = None
    present: int = 0
    looks: int = 0
    grouped: bool = True
    markers: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    padded: int = 0

    def learn(self, text: pl.Series, missing: Sequence[str]) -> None:
        """Include further values of the column."""
        values = trimmed(text, missing)
        if self.type is not ValueType.STRING:
            values = self._widen(values)
            if self._is_text():
                self.present, self.looks = self.measured, self.measured
            elif self.type is not ValueType.BOOLEAN:
                self.measured += len(values) - values.null_count()
        if self.type is ValueType.STRING:
            self.padded += int((text.str.len_bytes() != values.str.len_bytes()).sum())
            present = unmarked(values).drop_nulls()
            self.present += len(present)
            self.looks += int((present.str.contains(_LOOKS) & present.str.contains("[0-9]")).sum())
        elif self.type is ValueType.FLOAT and self.grouped:
            self.grouped = all(part.str.contains(_GROUPED).all() for part in (values.head(32), values))

    def _widen(self, values: pl.Series) -> pl.Series:
        if isinstance(self.type, ValueType) and fits(values, self.type):
            return values
        marked = values.filter(values.is_in(MARKERS))
        if len(marked):
            self.markers.update(marked.to_list())
            values = unmarked(values)
        if not (isinstance(self.type, ValueType) and fits(values, self.type)):
            self.type = widened(self.type, narrowest(values))
        return values

    def _is_text(self) -> bool:
        return self.type is ValueType.STRING

    @property
    def suspect(self) -> bool:
        """Whether values look like numbers or dates that the plain type does not parse."""
        return self.type is ValueType.STRING and self.present > 0 and self.looks >= SUSPECT_SHARE * self.present

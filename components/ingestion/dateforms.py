"""Date formats: 31.12.2024, 12/31/2024, 31 Dec 2024, with or without a time. Each format converts values to ISO 8601."""

import re
from dataclasses import dataclass

import polars as pl

_DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y")
_OTHERS = (
    "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%d. %B %Y", "%d. %b %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", ", %H:%M")
_DIGITS = {
    "%d": "[0-9]{1,2}", "%m": "[0-9]{1,2}", "%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%H": "[0-9]{1,2}", "%M": "[0-9]{2}",
    "%S": "[0-9]{2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DateForm:
    """A date format in strftime notation."""

    format: str

    @property
    def timed(self) -> bool:
        return "%H" in self.format

    @property
    def pattern(self) -> str | None:
        """Regular expression of values in this format; None for directives without a fixed form."""
        parts = re.split(r"(%-?.)", self.format)
        if any(part.startswith("%") and part.replace("-", "") not in _DIGITS for part in parts):
            return None
        return "^" + "".join(_DIGITS.get(part.replace("%-", "%"), re.escape(part)) for part in parts) + "$"

    @property
    def swapped(self) -> "DateForm | None":
        """The format with day and month swapped, if values cannot distinguish the two."""
        if self.format.startswith(("%d/%m", "%d-%m/", "%d-%m-")):
            return DateForm(self.format.replace("%d", "%#").replace("%m", "%d").replace("%#", "%m"))
        if self.format.startswith(("%m/%d", "%m-%d")):
            return DateForm(self.format.replace("%m", "%#").replace("%d", "%m").replace("%#", "%d"))
        return None

    def plain(self, text: pl.Series) -> pl.Series:
        """Trimmed text as ISO dates or times; null where a value does not match."""
        if self.pattern is not None:
            text = text.set(~text.str.contains(self.pattern).fill_null(value=False), None)
        if self.timed:
            moments = text.str.to_datetime(self.format, time_unit="us", strict=False)
            return moments.dt.to_string("%Y-%m-%d %H:%M:%S%.f")
        return text.str.to_date(self.format, strict=False).dt.to_string("%Y-%m-%d")

    def __str__(self) -> str:
        return f"dates written {self.format}"


FORMS = tuple(DateForm(day + time) for time in _TIMES for day in (*_DAY_FIRST, *_MONTH_FIRST, *_OTHERS))
DAY_FIRST = frozenset(DateForm(day + time).format for time in _TIMES for day in _DAY_FIRST)


def likely(sample: pl.Series) -> tuple[DateForm, ...]:
    """Formats that at least one value of a sample matches."""
    return tuple(form for form in FORMS if form.pattern is not None and sample.str.contains(form.pattern).any())

"""Parse and check cron expressions, and convert them to the form of Kubeflow Pipelines."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stagewright.components.runtime.errors import BadParameter

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("weekday", 0, 7, {name: number for number, name in enumerate(DAYS)}),
)
EXAMPLE = "minute hour day month weekday, such as '0 3 * * *' (every day at 3:00)"
_PART = re.compile(r"(?P<first>[a-z0-9]+|\*)(-(?P<last>[a-z0-9]+))?(/(?P<step>\d+))?")
_YEARS = 8  # up to eight years can pass between two 29 Februaries


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed cron expression.

    Attributes:
        text: The original text.
        parts: The five fields as text.
        fields: The matching values of each field.
    """

    text: str
    parts: tuple[str, ...]
    fields: tuple[tuple[int, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Parse five fields, or a name such as `@daily`.

        Raises:
            BadParameter: For an invalid field, or an expression that never matches.
        """
        parts = ALIASES.get(text.strip().lower(), text).lower().split()
        if len(parts) != len(FIELDS):
            extra = "; omit the seconds, which are always 0" if len(parts) == len(FIELDS) + 1 else ""
            raise BadParameter("cron", got=text, expected=f"five fields, {EXAMPLE}{extra}")
        fields = tuple(_values(text, part, *field) for part, field in zip(parts, FIELDS, strict=True))
        made = cls(text, tuple(parts), fields)
        if made.next_after(datetime.now(UTC)) is None:
            raise BadParameter("cron", got=text, expected="a day that exists in one of its months")
        return made

    @property
    def with_seconds(self) -> str:
        """The six fields of Kubeflow Pipelines: seconds in front, numbers only, Sunday as 0.

        >>> Cron.parse("30 2 * * sat-sun").with_seconds
        '0 30 2 * * 0,6'
        >>> Cron.parse("*/15 8-18 * * 1-5").with_seconds
        '0 */15 8-18 * * 1-5'
        """
        return " ".join(["0", *map(_written, self.parts, self.fields, (False, False, False, False, True))])

    def next_after(self, moment: datetime) -> datetime | None:
        """The first matching minute after a moment, in its time zone; None if there is none."""
        minutes, hours, *_ = self.fields
        start = (moment + timedelta(minutes=1)).replace(second=0, microsecond=0)
        day = start.replace(hour=0, minute=0)
        for _ in range(366 * _YEARS):
            if self._fits(day):
                for hour in hours:
                    for minute in minutes:
                        found = day.replace(hour=hour, minute=minute)
                        if found >= start:
                            return found
            day += timedelta(days=1)
        return None

    def _fits(self, day: datetime) -> bool:
        """If both day and weekday are restricted, either may match, as in standard cron."""
        _, _, days, months, weekdays = self.fields
        if day.month not in months:
            return False
        by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        return by_day or by_weekday if "*" not in (self.parts[2], self.parts[4]) else by_day and by_weekday


def _values(text: str, field: str, name: str, lowest: int, highest: int, names: dict[str, int]) -> tuple[int, ...]:
    values: set[int] = set()
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if not found:
            raise BadParameter("cron", got=text, expected=f"a value such as 5, 1-5, */5 or 1,3,5 for the {name}, not '{part}'")
        step = int(found["step"] or 1)
        if found["first"] == "*":
            first, last = lowest, min(highest, 6) if name == "weekday" else highest
        else:
            first = _number(text, found["first"], name, lowest, highest, names)
            last = _number(text, found["last"], name, lowest, highest, names) if found["last"] else first
            last = highest if found["step"] and not found["last"] else last
            if name == "weekday" and found["last"] and last == 0 < first:
                last = 7  # fri-sun
        if step < 1 or first > last:
            raise BadParameter("cron", got=text, expected=f"an ascending range for the {name}, not '{part}'")
        values.update(range(first, last + 1, step))
    if name == "weekday":
        values = {value % 7 for value in values}
    return tuple(sorted(values))


def _number(text: str, written: str, name: str, lowest: int, highest: int, names: dict[str, int]) -> int:
    value = names.get(written, int(written) if written.isdecimal() else -1)
    if not lowest <= value <= highest:
        words = f" or {next(iter(names))} to {list(names)[-1]}" if names else ""
        raise BadParameter("cron", got=text, expected=f"{lowest} to {highest}{words} for the {name}, not '{written}'")
    return value


def _written(part: str, values: tuple[int, ...], is_weekday: bool) -> str:
    """Format a field with numbers only, and with 0 for Sunday, because not every parser accepts 7."""
    plain = not re.search(r"[a-z]", part) and not (is_weekday and "7" in part)
    return part if plain else ",".join(str(value) for value in values)

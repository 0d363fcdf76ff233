"""Datetime columns: calendar parts of microseconds since 1970 in UTC, computed with integers inside the graph.

The calendar is the proleptic Gregorian one; the arithmetic is Howard Hinnant's "chrono-compatible low-level date algorithms"
(days_from_civil, civil_from_days), counted from 0000-03-01 so that nothing is negative. A day outside years 1 to 9999 counts as
the nearest day inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from stagewright.components.features.graph import Block, Graph
from stagewright.components.features.numeric import Scaling, scaled
from stagewright.components.features.options import DatetimeOptions
from stagewright.components.features.specification import ColumnPlan
from stagewright.components.runtime.feature_graph import Feature
from stagewright.components.runtime.signature import MISSING_TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MINUTE, _HOUR, _DAY = 60_000_000, 3_600_000_000, 86_400_000_000
_SHIFT = 719_468  # days from 0000-03-01 to 1970-01-01
_NEW_YEAR = 306  # days from 1 March to 1 January
_ERA = 146_097  # days in 400 years

# Period and first value of the parts that come round.
CYCLES = {"month": (12, 1), "day": (31, 1), "weekday": (7, 0), "hour": (24, 0), "minute": (60, 0), "day_of_year": (366, 1)}
UNSCALED = ("is_weekend", "sine", "cosine")


@dataclass(frozen=True, slots=True)
class DateFit:
    """What was learned from one column.

    Attributes:
        parts: Parts that become features; "sine of hour" and "cosine of hour" are parts too.
        fill: What a missing time becomes, in microseconds; None leaves NaN in every part.
        first: The earliest time of the training split, from which elapsed days count.
    """

    name: str
    parts: tuple[str, ...]
    fill: int | None
    first: int
    indicator: bool
    scale: str

    def features(self) -> tuple[Feature, ...]:
        return tuple(Feature(f"{self.name} {part}", self.name, "date_part") for part in self.parts)

    @property
    def scaled_features(self) -> tuple[Feature, ...]:
        """Features that need scaling; flags, sines and cosines do not."""
        return tuple(f for f, part in zip(self.features(), self.parts, strict=True) if part.split()[0] not in UNSCALED)


def fit(plan: ColumnPlan, values: pl.Series) -> DateFit:
    """Learn imputation and the first time of one column.

    Args:
        values: Values of the training split, [N] Int64 microseconds, MISSING_TIME where missing; at least one is not missing.

    Raises:
        TypeError: If the column is not a datetime.
    """
    options = plan.options
    if not isinstance(options, DatetimeOptions):
        raise TypeError(f"{plan.name} is not a datetime")
    known = values.filter(values != MISSING_TIME).sort()
    parts = [str(part) for part in dict.fromkeys(options.parts)]
    if options.cyclic:
        parts += [f"{wave} of {part}" for part in parts if part in CYCLES for wave in ("sine", "cosine")]
    indicator = len(known) < len(values) if options.indicator is None else options.indicator
    median = int(known[len(known) // 2])
    fill = None if options.impute == "none" else median
    return DateFit(plan.name, tuple(parts), fill, int(known[0]), indicator, options.scale)


def write(graph: Graph, fits: Sequence[DateFit], scaling: Scaling) -> tuple[list[Block], list[Block]]:
    """Write all datetime columns; each part is computed once for all columns.

    Returns:
        Blocks of the parts, and blocks of the indicators.
    """
    if not fits:
        return [], []
    raw = graph.side_by_side([fit.name for fit in fits])
    missing = graph.apply("Equal", raw, graph.constant(MISSING_TIME, np.int64))
    # A time that stays missing is computed as the first one and blotted out afterwards.
    fills = [fit.first if fit.fill is None else fit.fill for fit in fits]
    calendar = Calendar(
        graph, graph.apply("Where", missing, graph.constant([fills], np.int64), raw), [fit.first for fit in fits]
    )

    names = list(dict.fromkeys(part for fit in fits for part in fit.parts))
    every = graph.side_by_side([calendar.part(name) for name in names])
    owners = [index for index, fit in enumerate(fits) for _ in fit.parts]
    wanted = [names.index(part) * len(fits) + index for index, fit in enumerate(fits) for part in fit.parts]
    values = graph.select(every, wanted)
    if any(fit.fill is None for fit in fits):
        blank = graph.constant([[fits[owner].fill is None for owner in owners]], np.bool_)
        gone = graph.apply("And", graph.select(missing, owners), blank)
        values = graph.apply("Where", gone, graph.constant(np.nan, np.float64), values)
    features = tuple(feature for fit in fits for feature in fit.features())
    block = Block(scaled(graph, values, features, scaling), features)

    told = [index for index, fit in enumerate(fits) if fit.indicator]
    if not told:
        return [block], []
    indicators = tuple(Feature(f"{fits[index].name} is missing", fits[index].name, "indicator") for index in told)
    return [block], [Block(graph.cast(graph.select(missing, told), np.float32), indicators)]


class Calendar:
    """Calendar parts of a tensor of times, in int64. Each part is computed on first use."""

    def __init__(self, graph: Graph, times: str, first: Sequence[int]) -> None:
        self.graph, self._times, self._first = graph, times, first

    def part(self, name: str) -> str:
        """A part as float64, [N, columns]."""
        if " of " in name:
            wave, of = name.split(" of ")
            return self._wave(wave, of)
        return self._elapsed() if name == "elapsed_days" else self.graph.cast(self._whole(name), np.float64)

    def _whole(self, name: str) -> str:
        parts: dict[str, Callable[[], str]] = {
            "year": lambda: self._year,
            "month": lambda: self._month,
            "day": lambda: self._day_of_month,
            "weekday": lambda: self._weekday,
            "hour": lambda: self._divide(self._of_day, _HOUR),
            "minute": lambda: self._divide(self._remainder(self._of_day, _HOUR), _MINUTE),
            "day_of_year": lambda: self._day_of_year,
            "is_weekend": lambda: self.graph.apply("GreaterOrEqual", self._weekday, self._number(5)),
        }
        return parts[name]()

    def _wave(self, wave: str, of: str) -> str:
        """Sine or cosine from a table: the sine of ONNX Runtime differs in the last digit between one row and many rows."""
        period, start = CYCLES[of]
        turns = 2 * np.pi * np.arange(period) / period
        table = self.graph.constant(np.sin(turns) if wave == "sine" else np.cos(turns), np.float64)
        return self.graph.apply("Gather", table, self._add(self._whole(of), -start), axis=0)

    def _elapsed(self) -> str:
        first = [divmod(moment, _DAY) for moment in self._first]
        days = self.graph.apply("Sub", self._days, self.graph.constant([[day + _SHIFT for day, _ in first]], np.int64))
        rest = self.graph.apply("Sub", self._of_day, self.graph.constant([[rest for _, rest in first]], np.int64))
        since = self.graph.cast(self._sum(days, _DAY, rest, 1), np.float64)
        return self.graph.apply("Div", since, self.graph.constant(_DAY, np.float64))

    @cached_property
    def _of_day(self) -> str:
        return self._remainder(self._times, _DAY)  # never negative: the remainder has the sign of the divisor

    @cached_property
    def _days(self) -> str:
        """Days since 0000-03-01, from 0001-01-01 to 9999-12-31."""
        toward_zero = self._divide(self._times, _DAY)
        signed = self.graph.apply("Sub", self._times, self._times_number(toward_zero, _DAY))
        # A day less where the division has rounded up: before 1970 and not at midnight.
        rounded_up = self._divide(self.graph.apply("Sub", self._of_day, signed), _DAY)
        days = self._add(self.graph.apply("Sub", toward_zero, rounded_up), _SHIFT)
        # In float64, which holds days exactly: the runtime's Clip of int64 compares wrongly (onnxruntime #25280).
        bounds = [self.graph.constant(float(moment // _DAY + _SHIFT), np.float64) for moment in (EARLIEST, LATEST)]
        return self.graph.cast(self.graph.apply("Clip", self.graph.cast(days, np.float64), *bounds), np.int64)

    @cached_property
    def _weekday(self) -> str:
        return self._remainder(self._add(self._days, 2), 7)  # 0000-03-01 was a Wednesday

    @cached_property
    def _march_year(self) -> str:
        """Years since March of year 0."""
        era, day = self._divide(self._days, _ERA), self._remainder(self._days, _ERA)
        leap_days = self._sum(self._divide(day, 1460), -1, self._divide(day, 36_524), 1, self._divide(day, 146_096), -1)
        year_of_era = self._divide(self.graph.apply("Add", day, leap_days), 365)
        return self.graph.apply("Add", year_of_era, self._times_number(era, 400))

    @cached_property
    def _march_day(self) -> str:
        """Days since 1 March, 0 to 365."""
        year = self._march_year
        before = self._sum(year, 365, self._divide(year, 4), 1, self._divide(year, 100), -1, self._divide(year, 400), 1)
        return self.graph.apply("Sub", self._days, before)

    @cached_property
    def _march_month(self) -> str:
        """Months since March, 0 to 11."""
        return self._divide(self._add(self._times_number(self._march_day, 5), 2), 153)

    @cached_property
    def _after_new_year(self) -> str:
        """1 in January and February, which belong to the year that started in March before."""
        late = self.graph.apply("GreaterOrEqual", self._march_day, self._number(_NEW_YEAR))
        return self.graph.cast(late, np.int64)

    @cached_property
    def _year(self) -> str:
        return self.graph.apply("Add", self._march_year, self._after_new_year)

    @cached_property
    def _month(self) -> str:
        return self._sum(self._add(self._march_month, 3), 1, self._after_new_year, -12)

    @cached_property
    def _day_of_month(self) -> str:
        before = self._divide(self._add(self._times_number(self._march_month, 153), 2), 5)
        return self._add(self.graph.apply("Sub", self._march_day, before), 1)

    @cached_property
    def _day_of_year(self) -> str:
        """Day since March, less the days from March to January, or more the 59 or 60 days of January and February."""
        year = self._year
        leap = self._sum(self._divides(year, 4), 1, self._divides(year, 100), -1, self._divides(year, 400), 1)
        from_march = self._add(self._times_number(self._after_new_year, -1), 1)
        passed = self.graph.apply("Mul", self._add(leap, 59), from_march)
        return self._add(self._sum(self._march_day, 1, passed, 1, self._after_new_year, -_NEW_YEAR), 1)

    def _divides(self, tensor: str, number: int) -> str:
        even = self.graph.apply("Equal", self._remainder(tensor, number), self._number(0))
        return self.graph.cast(even, np.int64)

    def _sum(self, *terms: str | int) -> str:
        """Tensors times numbers, added: `_sum(a, 365, b, -1)` is 365 a - b."""
        products = [self._times_number(str(t), int(n)) for t, n in zip(terms[::2], terms[1::2], strict=True)]
        total = products[0]
        for product in products[1:]:
            total = self.graph.apply("Add", total, product)
        return total

    def _times_number(self, tensor: str, number: int) -> str:
        return tensor if number == 1 else self.graph.apply("Mul", tensor, self._number(number))

    def _add(self, tensor: str, number: int) -> str:
        return self.graph.apply("Add", tensor, self._number(number))

    def _divide(self, tensor: str, number: int) -> str:
        return self.graph.apply("Div", tensor, self._number(number))

    def _remainder(self, tensor: str, number: int) -> str:
        return self.graph.apply("Mod", tensor, self._number(number))

    def _number(self, number: int) -> str:
        return self.graph.constant(number, np.int64)

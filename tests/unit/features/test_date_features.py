"""Parts of dates against Python's own calendar."""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PARTS = ["year", "month", "day", "weekday", "hour", "minute", "day_of_year", "is_weekend", "elapsed_days"]


def moment(*fields: int) -> datetime:
    """A time in UTC, without a zone as tables store it."""
    return datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001


def expected(when: datetime, first: datetime) -> list[float]:
    elapsed = (when - first).total_seconds() / 86_400
    day = when.timetuple().tm_yday
    return [when.year, when.month, when.day, when.weekday(), when.hour, when.minute, day, when.weekday() >= 5, elapsed]


def times(values: list[datetime | None]) -> pl.DataFrame:
    return pl.DataFrame({"t": pl.Series(values, dtype=pl.Datetime("us"))})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.datetimes(), min_size=1, max_size=30))
def test_parts_equal_datetime_from_year_1_to_9999(every_part: Any, values: list[datetime]) -> None:
    answer = every_part.transform(times(values))

    np.testing.assert_allclose(answer, [expected(v, moment(1, 1, 1)) for v in values], rtol=1e-7)


def test_parts_are_right_at_the_edges_of_months_years_and_centuries(every_part: Any) -> None:
    edges = [
        moment(year, month, day, hour, minute, second, fraction)
        for year in (1, 4, 100, 400, 1582, 1600, 1899, 1900, 1969, 1970, 1999, 2000, 2024, 2100, 9999)
        for month, day in ((1, 1), (2, 28), (2, 29), (3, 1), (12, 31))
        if (month, day) != (2, 29) or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
        for hour, minute, second, fraction in ((0, 0, 0, 0), (23, 59, 59, 999_999))
    ]

    np.testing.assert_allclose(every_part.transform(times(edges)), [expected(e, moment(1, 1, 1)) for e in edges], rtol=1e-7)


def test_parts_are_right_one_hour_at_a_time_and_in_any_number_of_rows(every_part: Any) -> None:
    # Where the low 32 bits of neighbouring times differ by more than half their range, 64-bit comparisons are easily wrong.
    hours = [moment(1, 1, 1) + timedelta(hours=37 * h, microseconds=h) for h in range(1, 90_000, 3)]

    together = every_part.transform(times(hours))

    np.testing.assert_allclose(together, [expected(h, moment(1, 1, 1)) for h in hours], rtol=1e-7)
    alone = np.concatenate([every_part.transform(times([h])) for h in hours[:50]])
    np.testing.assert_array_equal(alone, together[:50])


def test_time_beyond_the_calendar_counts_as_its_last_day(every_part: Any) -> None:
    beyond = pl.DataFrame({"t": pl.Series([-(2**63) + 1, 2**63 - 1]).cast(pl.Datetime("us"))})

    answer = every_part.transform(beyond)

    np.testing.assert_array_equal(answer[:, :3], [[1, 1, 1], [9999, 12, 31]])


def test_missing_time_becomes_the_median_one_and_is_told(fit: Any) -> None:
    table = times([moment(2020, 1, 1), None, moment(2020, 3, 5), moment(2021, 7, 9)])

    features = fit(table, specification={"datetime": {"parts": ["month", "day"]}})

    assert features.names == ("t month", "t day", "t is missing")
    np.testing.assert_array_equal(features.transform(table), [[1, 1, 0], [3, 5, 1], [3, 5, 0], [7, 9, 0]])


def test_parts_that_never_change_are_left_out(fit: Any, flights: pl.DataFrame) -> None:
    table = flights.filter(pl.col("time_hour") < moment(2014, 1, 1)).select("time_hour")

    features = fit(table)

    assert "time_hour year" not in features.names
    when = table["time_hour"].to_list()
    first = min(when)
    everything = np.array([expected(t, first) for t in when])
    chosen = [PARTS.index(f.name.removeprefix("time_hour ")) for f in features.outputs]
    np.testing.assert_allclose(features.transform(table), everything[:, chosen], rtol=1e-6)


def test_cyclic_parts_go_round(fit: Any) -> None:
    table = times([moment(2024, m, d, h) for m, d, h in ((1, 1, 0), (4, 9, 6), (7, 20, 12), (12, 31, 23))])

    features = fit(table, specification={"datetime": {"parts": ["month", "hour"], "cyclic": True, "scale": "standard"}})

    names = [f.name for f in features.outputs]
    answer = dict(zip(names, features.transform(table).T, strict=True))
    assert names == ["t month", "t hour", "t sine of month", "t cosine of month", "t sine of hour", "t cosine of hour"]
    month, hour = np.array([0, 3, 6, 11]) / 12, np.array([0, 6, 12, 23]) / 24
    for part, turn in (("month", month), ("hour", hour)):
        np.testing.assert_allclose(answer[f"t sine of {part}"], np.sin(2 * np.pi * turn), atol=1e-6)
        np.testing.assert_allclose(answer[f"t cosine of {part}"], np.cos(2 * np.pi * turn), atol=1e-6)
        np.testing.assert_allclose([answer[f"t {part}"].mean(), answer[f"t {part}"].std()], [0, 1], atol=1e-6)


def test_dates_zones_and_units_mean_the_same_moment(fit: Any) -> None:
    features = fit(
        times([moment(2020, 1, 1, 5), moment(2021, 2, 3, 23)]), specification={"datetime": {"parts": ["day", "hour"]}}
    )

    instant = pl.Series([moment(2020, 5, 6, 0)], dtype=pl.Datetime("us"))
    zoned = instant.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    for same in (
        instant,
        zoned,
        instant.cast(pl.Datetime("ms")),
        instant.cast(pl.Datetime("ns")),
        pl.Series([date(2020, 5, 6)]),
    ):
        np.testing.assert_array_equal(features.transform(pl.DataFrame({"t": same})), [[6, 0]])


def test_two_columns_are_told_apart(fit: Any) -> None:
    a, b = [moment(2020, 1, 2), moment(2021, 3, 4)], [moment(2022, 5, 6), moment(2023, 7, 8)]
    table = times(list(a)).rename({"t": "a"}).with_columns(times(list(b))["t"].alias("b"))

    features = fit(table, specification={"datetime": {"parts": ["day"]}, "columns": {"b": {"parts": ["month", "year"]}}})

    assert features.names == ("a day", "b month", "b year")
    np.testing.assert_array_equal(features.transform(table), [[2, 5, 2022], [4, 7, 2023]])


@pytest.fixture(scope="module")
def every_part(fit: Any) -> Any:
    """All parts, fitted on times that differ in each."""
    table = times([moment(1, 1, 1), moment(2024, 12, 29, 13, 5), moment(9999, 12, 31, 23, 59)])
    return fit(table, specification={"datetime": {"parts": PARTS}})

"""The load that a service has to bear, hour by hour: given as a table, counted from a payload log, or a constant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.storage import ObjectStore, is_remote

TIME, RATE = "time", "requests_per_second"
LOGGED = ("time", "request_id", "row")  # of a payload log: one line a row, row 0 begins a request
DAY = 24
RESOLUTION = "1m"  # of a payload log: a peak is the busiest minute of an hour


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of load.

    Attributes:
        mean: Requests a second on average.
        peak: The most that was seen within the hour, at the trace's resolution: what must be borne.
    """

    start: datetime
    mean: float
    peak: float


@dataclass(frozen=True, slots=True)
class Trace:
    """Consecutive hours, and where they come from."""

    hours: tuple[Hour, ...]
    source: str

    @property
    def requests(self) -> float:
        return sum(hour.mean * 3600 for hour in self.hours)

    @property
    def peak(self) -> float:
        return max(hour.peak for hour in self.hours)

    def pauses(self) -> list[int]:
        """Lengths, in hours, of the times without any request."""
        found, length = [], 0
        for hour in self.hours:
            if hour.peak == 0:
                length += 1
                continue
            if length:
                found.append(length)
            length = 0
        return [*found, length] if length else found


def read(trace: str, *, sampled: float = 1.0) -> Trace:
    """The load from whatever describes it.

    Args:
        trace: A number of requests a second; a table with the columns `time` and `requests_per_second`; or the folder or
            s3:// prefix of a payload log.
        sampled: Share of the requests that the payload log holds.

    Raises:
        BadParameter: If it is none of these.
        InputError: If it cannot be read or holds no load.
    """
    if not 0 < sampled <= 1:
        raise BadParameter("sampled", got=sampled, expected="a share above 0 and up to 1")
    constant = _number(trace)
    if constant is not None:
        return steady(constant)
    if not trace:
        raise BadParameter("trace", got=trace, expected="requests a second, a table of them by time, or a payload log")
    table = _table(trace)
    if set(LOGGED) <= set(table.columns):
        return from_log(table, trace, sampled=sampled)
    if {TIME, RATE} <= set(table.columns):
        return from_samples(table, trace)
    raise InputError(
        f"the trace {trace} has the columns {', '.join(table.columns[:8])}; expected {TIME} and {RATE}, or a payload log's "
        f"{', '.join(LOGGED)}"
    )


def steady(rate: float) -> Trace:
    """A day of the same load."""
    if not rate > 0:
        raise BadParameter("trace", got=rate, expected="requests a second above 0")
    start = datetime(2000, 1, 1, tzinfo=UTC)
    return Trace(tuple(Hour(start + timedelta(hours=at), rate, rate) for at in range(DAY)), f"{rate:g} requests/s at all times")


def from_samples(table: pl.DataFrame, source: str) -> Trace:
    """Hours of a table of `time` and `requests_per_second`; an hour without a sample had no load.

    Raises:
        InputError: If times are not times, rates not numbers of at least 0, or there is no load at all.
    """
    times = table.get_column(TIME)
    if times.dtype == pl.String:
        times = times.str.to_datetime(strict=False, time_zone="UTC")
    if not isinstance(times.dtype, pl.Datetime | pl.Date) or times.null_count():
        raise InputError(
            f"the column {TIME} of the trace {source} does not hold times such as 2026-05-01T13:00:00 in every row"
        )
    rates = table.get_column(RATE)
    if not rates.dtype.is_numeric() or rates.null_count() or not bool(((rates >= 0) & rates.is_finite()).all()):
        raise InputError(f"the column {RATE} of the trace {source} does not hold a number of at least 0 in every row")
    frame = pl.DataFrame({TIME: _plain(times), RATE: rates.cast(pl.Float64)})
    by_hour = frame.group_by(pl.col(TIME).dt.truncate("1h")).agg(
        pl.col(RATE).mean().alias("mean"), pl.col(RATE).max().alias("peak")
    )
    return _filled(by_hour, source)


def from_log(table: pl.DataFrame, source: str, *, sampled: float = 1.0) -> Trace:
    """Hours of a payload log: requests counted by the minute, scaled up by the share that was logged."""
    starts = table.filter(pl.col("row") == 0).select(_plain(table.get_column("time")).filter(table.get_column("row") == 0))
    minutes = starts.group_by(pl.col("time").dt.truncate(RESOLUTION)).agg(pl.len().alias("count"))
    by_hour = minutes.group_by(pl.col("time").dt.truncate("1h")).agg(
        (pl.col("count").sum() / 3600 / sampled).alias("mean"), (pl.col("count").max() / 60 / sampled).alias("peak")
    )
    return _filled(by_hour, source)


def _filled(by_hour: pl.DataFrame, source: str) -> Trace:
    """Every hour from the first to the last."""
    if not by_hour.height or not by_hour["mean"].sum():
        raise InputError(f"the trace {source} holds no load")
    known = {start: (mean, peak) for start, mean, peak in by_hour.select("time", "mean", "peak").iter_rows()}
    first, last = min(known), max(known)
    count = int((last - first) / timedelta(hours=1)) + 1
    starts = [first + timedelta(hours=at) for at in range(count)]
    return Trace(tuple(Hour(start.replace(tzinfo=UTC), *known.get(start, (0.0, 0.0))) for start in starts), source)


def _plain(times: pl.Series) -> pl.Series:
    """Times in UTC, without saying so."""
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return times.cast(pl.Datetime("us"))


def _number(trace: str) -> float | None:
    try:
        return float(trace)
    except ValueError:
        return None


def _table(trace: str) -> pl.DataFrame:
    """The table, or the columns of a payload log that count requests."""
    if is_remote(trace) and not trace.endswith((".csv", ".parquet", ".jsonl", ".tsv")):
        store = ObjectStore.from_environment("the object store holds the payload log")
        with TemporaryDirectory(prefix="stagewright-") as scratch:
            return _log(store.download_folder(trace, scratch), trace)
    path = Path(trace).expanduser()
    if path.is_dir():
        return _log(sorted(path.rglob("*")), trace)
    from stagewright.components.ingestion.ingest import ingest

    with TemporaryDirectory(prefix="stagewright-") as scratch:
        stored = Path(scratch) / "trace.parquet"
        ingest(trace, stored, Path(scratch) / "quarantine.parquet")
        return tables.read_table(stored)


def _log(files: Sequence[Path], trace: str) -> pl.DataFrame:
    parquet = [file for file in files if file.suffix == ".parquet"]
    if not parquet:
        raise InputError(f"there is no Parquet file in {trace}; expected a payload log")
    try:
        return pl.concat([pl.read_parquet(file, columns=list(LOGGED)) for file in parquet])
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{trace} is not a payload log: {str(error).splitlines()[0]}") from None

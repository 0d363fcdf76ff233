"""Loads by the hour: from a number, a table, a payload log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from stagewright.components.optimization.cost import load_trace
from stagewright.components.runtime.errors import BadParameter, InputError

START = datetime(2026, 5, 1, 10)  # noqa: DTZ001  tables hold times in UTC without saying so


def test_a_number_is_a_day_of_that_load() -> None:
    found = load_trace.read("25")
    assert len(found.hours) == 24
    assert {(hour.mean, hour.peak) for hour in found.hours} == {(25.0, 25.0)}
    assert found.requests == 25 * 86400
    assert found.pauses() == []


def test_a_table_is_put_into_hours_and_gaps_are_pauses(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "time,requests_per_second\n2026-05-01T10:00:00,10\n2026-05-01T10:30:00,30\n2026-05-01T13:59:59,5\n2026-05-01T14:00:00,0\n"
    )
    found = load_trace.read(str(path))
    assert [(hour.mean, hour.peak) for hour in found.hours] == [(20, 30), (0, 0), (0, 0), (5, 5), (0, 0)]
    assert found.hours[0].start == START.replace(tzinfo=UTC)
    assert found.peak == 30
    assert found.pauses() == [2, 1]


def test_a_table_with_a_time_zone_is_read_in_utc() -> None:
    times = pl.Series("time", [START.replace(tzinfo=UTC)]).dt.convert_time_zone("Europe/Berlin")
    found = load_trace.from_samples(pl.DataFrame({"time": times, "requests_per_second": [1]}), "here")
    assert found.hours[0].start == START.replace(tzinfo=UTC)


def write_log(folder: Path, seconds: list[float], *, rows: int = 1) -> None:
    """Files as the predictor writes them: a line for each row of a request."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [(START + timedelta(seconds=at), f"r{at}", row) for at in seconds for row in range(rows)]
    frame = pl.DataFrame(lines, schema=["time", "request_id", "row"], orient="row")
    frame.with_columns(label=pl.lit("Yes")).write_parquet(folder / f"{len(list(folder.iterdir()))}.parquet")


def test_a_payload_log_is_counted_by_the_minute(tmp_path: Path) -> None:
    write_log(tmp_path / "day=1", [0, 1, 2, 3, 4, 5, 70, 80], rows=3)
    write_log(tmp_path / "day=2", [7200])
    found = load_trace.read(str(tmp_path))
    assert [hour.peak for hour in found.hours] == [6 / 60, 0, 1 / 60]
    assert found.requests == pytest.approx(9)  # requests, not rows
    assert found.pauses() == [1]
    assert load_trace.read(str(tmp_path), sampled=0.1).requests == pytest.approx(90)


def test_a_payload_log_in_an_object_store(tmp_path: Path, object_store: str) -> None:
    from stagewright.components.runtime.storage import ObjectStore

    write_log(tmp_path, [0, 1, 2])
    store = ObjectStore.from_environment("a test")
    store.ensure_bucket("payloads")
    store.upload_folder(tmp_path, "s3://payloads/churn")
    assert load_trace.read("s3://payloads/churn/").requests == pytest.approx(3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "expected time and requests_per_second"),
        ("time,requests_per_second\nnever,2\n", "does not hold times"),
        ("time,requests_per_second\n2026-05-01T10:00:00,-2\n", "at least 0"),
        ("time,requests_per_second\n2026-05-01T10:00:00,0\n", "holds no load"),
    ],
)
def test_tables_that_are_no_trace_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        load_trace.read(str(path))


def test_values_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for given in ("", "0", "-1"):
        with pytest.raises(BadParameter, match="trace"):
            load_trace.read(given)
    with pytest.raises(BadParameter, match="sampled"):
        load_trace.read("5", sampled=0)
    with pytest.raises(InputError, match="no Parquet file"):
        load_trace.read(str(tmp_path))
    (tmp_path / "other.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="not a payload log"):
        load_trace.read(str(tmp_path))

"""Progress: silent at first, then events a watcher can read."""

import io
import json

import pytest

from stagewright.components.runtime import logs, progress


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    logs.configure()
    monkeypatch.setattr(logs.LOGGER.handlers[0], "stream", stream)
    monkeypatch.setattr(logs.LOGGER.handlers[0], "formatter", logs.JsonFormatter())
    return stream


def test_short_work_says_nothing(log: io.StringIO) -> None:
    with progress.progress("read", total=10, unit="rows") as advance:
        for _ in range(10):
            advance()

    assert log.getvalue() == ""


def test_long_work_tells_how_far_it_is(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))

    with progress.progress("read", total=10, unit="rows") as advance:
        for _ in range(5):
            advance(2)

    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [event["done"] for event in told] == [4.0, 6.0, 8.0, 10.0]
    assert told[0] == {**told[0], "event": "progress", "what": "read", "total": 10, "unit": "rows"}

"""SharedCounters in shared memory: sums, what a dead process leaves, and what Prometheus reads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stagewright.components.predictor.telemetry import counters as storage
from stagewright.components.predictor.telemetry.counters import SharedCounters, SharedMemory
from stagewright.components.predictor.telemetry.instruments import MetricDescription
from stagewright.components.predictor.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus' own parser reads."""
    families = text_string_to_metric_families(metrics.exposition().body.decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def ours(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Without what a process uses, which is another at every look."""
    return {key: value for key, value in samples(metrics).items() if not key[0].startswith("process_")}


def test_processes_add_up() -> None:
    memory = SharedMemory(3)
    first, second = (Metrics(SharedCounters(memory, index)) for index in (0, 2))

    first.answered("churn", "v1", 200, 0.003)
    second.answered("churn", "v1", 200, 0.3)
    second.answered("churn", "v2", 400, 40.0)
    first.predicted("churn", 3, 0.001)
    second.predicted("churn", 5000, 0.02)
    first.rejected("churn", "queue_full")
    first.in_flight.inc()
    second.in_flight.inc(2)
    second.queued("churn", 7)

    found = ours(first)
    assert found == ours(second)
    labels = (("model", "churn"), ("protocol", "v1"))
    assert found["stagewright_requests_total", (*labels, ("status", "200"))] == 2
    assert found["stagewright_request_seconds_count", labels] == 2
    assert found["stagewright_request_seconds_sum", labels] == pytest.approx(0.303)
    assert found["stagewright_request_seconds_bucket", (("le", "0.005"), *labels)] == 1
    assert found["stagewright_request_seconds_bucket", (("le", "0.5"), *labels)] == 2
    slow = (("model", "churn"), ("protocol", "v2"))
    assert found["stagewright_request_seconds_bucket", (("le", "30.0"), *slow)] == 0
    assert found["stagewright_request_seconds_bucket", (("le", "+Inf"), *slow)] == 1
    assert found["stagewright_rows_total", (("model", "churn"),)] == 5003
    assert found["stagewright_batch_rows_bucket", (("le", "4.0"), ("model", "churn"))] == 1
    assert found["stagewright_rejected_total", (("model", "churn"), ("reason", "queue_full"))] == 1
    assert found["stagewright_queued_requests", (("model", "churn"),)] == 7
    assert found["stagewright_requests_in_flight", ()] == 3


def test_a_successor_goes_on_counting_where_a_dead_process_stopped() -> None:
    memory = SharedMemory(2)
    program = (
        "import os, sys\n"
        "from stagewright.components.predictor.telemetry.counters import SharedCounters, SharedMemory\n"
        "from stagewright.components.predictor.telemetry.metrics import Metrics\n"
        "metrics = Metrics(SharedCounters(SharedMemory(2, int(sys.argv[1])), 1))\n"
        "metrics.answered('churn', 'v1', 200, 0.1)\n"
        "metrics.in_flight.inc()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", program, str(memory.descriptor)], pass_fds=(memory.descriptor,), check=False
        )
        assert ended.returncode == -9

    found = samples(Metrics(SharedCounters(memory, 0)))

    assert found["stagewright_requests_total", (("model", "churn"), ("protocol", "v1"), ("status", "200"))] == 2
    Metrics(SharedCounters(memory, 1))  # the next in that place has nothing in flight
    assert samples(Metrics(SharedCounters(memory, 0)))["stagewright_requests_in_flight", ()] == 0


def test_threads_lose_no_count() -> None:
    metrics = Metrics()
    threads = [
        threading.Thread(target=lambda: [metrics.answered("churn", "v1", 200, 0.1) for _ in range(5000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert samples(metrics)["stagewright_request_seconds_count", (("model", "churn"), ("protocol", "v1"))] == 20_000


def test_a_full_slab_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_LAST", 200)
    metrics = Metrics()

    for number in range(300):
        metrics.answered(f"model-{number}", "v1", 200, 0.1)

    assert samples(metrics)["stagewright_requests_total", (("model", "model-0"), ("protocol", "v1"), ("status", "200"))] == 1


def test_names_that_need_escaping_come_back() -> None:
    counters = SharedCounters()
    metrics = Metrics(counters)
    described = MetricDescription("test_things", "Things.", ("name",))

    metrics.counter(described).add('a"b\nc\\d', by=2)

    assert samples(metrics)["test_things_total", (("name", 'a"b\nc\\d'),)] == 2


def test_processes_are_told_together() -> None:
    found = samples(Metrics())

    assert found["process_resident_memory_bytes", ()] == pytest.approx(
        int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1]) * 4096, rel=0.2
    )
    assert found["process_cpu_seconds_total", ()] > 0

"""Several processes on one port are one server: the same models, the same metrics, and none of their ends loses a request."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.hammer import hammering
from support.mixed_rows import ROWS
from support.onnx_models import write_slow
from support.published import publish

from stagewright.components.runtime import processes
from stagewright.components.serving import client

PREDICTOR = (sys.executable, "-m", "stagewright.components.predictor")
Start = Callable[..., Any]
LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def metrics(url: str) -> dict[tuple[str, str], float]:
    """Name and labels of every sample."""
    text = urllib3.request("GET", f"{url}/metrics", headers={"Connection": "close"}).data.decode()
    return {(name, labels): float(value) for name, labels, value in LINE.findall(text)}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def predict_often(url: str, times: int) -> None:
    """Each over a connection of its own, so that every worker has its share."""
    for _ in range(times):
        client.predict(url, "churn", ROWS[:2])


def answered(url: str) -> float:
    return sum(
        value for (name, labels), value in metrics(url).items()
        if name == "stagewright_requests_total" and 'model="churn"' in labels and 'status="200"' in labels
    )  # fmt: skip


def until(true: Callable[[], bool], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def pair(start: Start, models: dict[str, Path]) -> Any:
    return start("--model", str(models["mixed"]), "--name", "churn", "--workers", "2")


def test_metrics_add_up_over_workers(pair: Any) -> None:
    predict_often(pair.url, 60)
    until(lambda: answered(pair.url) == 60)  # a request is counted once its answer has been sent

    for _ in range(6):  # whoever answers says the same
        found = metrics(pair.url)
        assert answered(pair.url) == 60
        assert found["stagewright_rows_total", 'model="churn"'] == 120
        assert found["stagewright_batch_rows_bucket", 'le="2.0",model="churn"'] == 60
        assert found["stagewright_batch_rows_sum", 'model="churn"'] == 120
        assert found["stagewright_request_seconds_count", 'model="churn",protocol="v1"'] == 60
        info = [value for (name, _), value in found.items() if name == "stagewright_model_info"]
        assert info == [1.0]
    resident = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in children(pair.process.pid))
    assert metrics(pair.url)["process_resident_memory_bytes", ""] == pytest.approx(resident, rel=0.2)


def test_gauges_are_the_sum_of_what_is(start: Start, tmp_path: Path) -> None:
    server = start("--model", str(write_slow(tmp_path / "slow")), "--name", "slow", "--workers", "2", "--threads", "1")
    threads = [threading.Thread(target=client.predict, args=(server.url, "slow", [[5.0]])) for _ in range(2)]
    for thread in threads:
        thread.start()

    until(lambda: metrics(server.url)["stagewright_requests_in_flight", ""] == 3)  # and the question itself

    for thread in threads:
        thread.join()
    until(lambda: metrics(server.url)["stagewright_requests_in_flight", ""] == 1)


def test_a_worker_that_dies_is_replaced(pair: Any) -> None:
    predict_often(pair.url, 40)
    until(lambda: answered(pair.url) == 40)  # a request is counted once its answer has been sent
    before = children(pair.process.pid)

    os.kill(before[0], signal.SIGKILL)

    until(lambda: len(children(pair.process.pid)) == 2 and before[0] not in children(pair.process.pid))
    predict_often(pair.url, 40)
    until(lambda: answered(pair.url) == 80)  # what the dead one had counted is kept
    assert metrics(pair.url)["stagewright_requests_in_flight", ""] == 1


def test_a_worker_that_hangs_is_replaced(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    patience = {"STAGEWRIGHT_WORKER_SILENCE_SECONDS": "4"}
    server = start("--repository", str(tmp_path), "--workers", "2", environment=patience)
    before = children(server.process.pid)
    kept = [http.client.HTTPConnection("127.0.0.1", server.announced["port"], timeout=60) for _ in range(16)]
    for connection in kept:  # each worker has accepted some of them
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().read() == b'{"live":true}'
    publish(models["mixed"], tmp_path, "churn", "v1.1.0")

    os.kill(before[0], signal.SIGSTOP)

    predict_often(server.url, 20)  # the others take whoever comes
    load = urllib3.request("POST", f"{server.url}/v2/repository/models/churn/load", timeout=60)  # which all must do
    assert load.status == 200
    until(lambda: len(children(server.process.pid)) == 2 and before[0] not in children(server.process.pid))
    assert not Path(f"/proc/{before[0]}").exists()
    for connection in kept:  # nobody waits for good: there is an answer, or the connection has ended
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/v2/health/live")
            assert connection.getresponse().status == 200
        connection.close()
    assert {client.predict(server.url, "churn", ROWS[:1]).model_version for _ in range(12)} == {"v1.1.0"}


def test_a_worker_that_replaces_another_serves_what_the_others_do(
    start: Start, tmp_path: Path, models: dict[str, Path]
) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        publish(models["mixed"], tmp_path, "churn", version)
    publish(models["wine"], tmp_path, "wine", "v1.0.0")
    server = start("--repository", str(tmp_path), "--workers", "2")
    client.wait_until_ready(server.url, "wine", 30)
    repository = f"{server.url}/v2/repository"
    chosen = json.dumps({"parameters": {"version": "v1.0.0"}})
    assert urllib3.request("POST", f"{repository}/models/churn/load", body=chosen).status == 200
    assert urllib3.request("POST", f"{repository}/models/wine/unload").status == 200

    with hammering(server.url, "churn", ROWS[:1]) as hammer:
        for dying in children(server.process.pid):
            os.kill(dying, signal.SIGKILL)
            until(lambda dying=dying: len(children(server.process.pid)) == 2 and dying not in children(server.process.pid))
            hammer.wait_for(500)

    assert hammer.statuses == {200}  # a new worker accepts only once it has loaded
    assert {version for versions in hammer.versions() for version in versions} == {"v1.0.0"}
    assert len(hammer.lost) <= 8 * 2  # only what a killed worker was about to answer, or had accepted
    for _ in range(8):
        assert urllib3.request("GET", f"{server.url}/v2/models/wine/ready", headers={"Connection": "close"}).status == 404


def test_a_load_reaches_every_worker_before_it_is_answered(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    server = start("--repository", str(tmp_path), "--workers", "3")
    with hammering(server.url, "churn", ROWS[:1]) as hammer:
        hammer.wait_for(300)
        for version in ("v1.1.0", "v1.2.0"):
            publish(models["mixed"], tmp_path, "churn", version)
            assert urllib3.request("POST", f"{server.url}/v2/repository/models/churn/load").status == 200
            assert {client.predict(server.url, "churn", ROWS[:1]).model_version for _ in range(12)} == {version}
            hammer.wait_for(300)

    assert (hammer.lost, hammer.statuses) == ([], {200})
    assert hammer.versions() == [["v1.0.0", "v1.1.0", "v1.2.0"]] * 8


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_under_load_loses_nothing(start: Start, models: dict[str, Path], workers: str) -> None:
    server = start("--model", str(models["mixed"]), "--name", "churn", "--workers", workers)
    with hammering(server.url, "churn", ROWS[:1], clients=16) as hammer:
        hammer.wait_for(2000)

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(20) == 0
    assert (hammer.lost, hammer.statuses) == ([], {200})
    assert sum(one.refused for one in hammer.seen) == 16  # each was told that its connection ends, and found nobody then


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_closes_idle_connections_soon(start: Start, models: dict[str, Path], workers: str) -> None:
    server = start("--model", str(models["mixed"]), "--name", "churn", "--workers", workers)
    with urllib3.PoolManager(maxsize=4) as pool:
        assert pool.request("GET", f"{server.url}/v2/health/live").status == 200

        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 3


def test_sigterm_ends_a_server_with_very_many_connections(start: Start, models: dict[str, Path]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    connections = []
    try:
        server = start("--model", str(models["mixed"]), "--name", "churn")
        connections = [socket.create_connection(("127.0.0.1", server.announced["port"])) for _ in range(1200)]
        until(lambda: len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) > 1200)

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(20) == 0
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_while_a_model_loads_ends_the_server_soon(tmp_path: Path, workers: str) -> None:
    slow = write_slow(tmp_path / "slow", repeats=400)  # its rehearsal alone takes many seconds
    port = processes.free_port()
    command = [*PREDICTOR, "--model", str(slow), "--name", "slow", "--port", str(port), "--workers", workers, "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with urllib3.PoolManager(retries=urllib3.Retry(200, backoff_factor=0.05, backoff_max=0.05)) as pool:
            assert pool.request("GET", f"http://127.0.0.1:{port}/v2/health/live").status == 200
            assert pool.request("GET", f"http://127.0.0.1:{port}/v2/health/ready", retries=False).status == 503
        process.terminate()

        assert process.wait(5) == 0
    finally:
        process.kill()


def test_the_workers_end_with_their_supervisor(pair: Any) -> None:
    workers = children(pair.process.pid)

    pair.process.kill()

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_repository_without_models_is_filled_later(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    server = start("--repository", str(tmp_path), "--workers", "2")

    publish(models["wine"], tmp_path, "wine", "v1.0.0")
    index = json.loads(urllib3.request("POST", f"{server.url}/v2/repository/index").data)

    assert index == [
        {"name": "churn", "version": "v1.0.0", "state": "READY", "reason": ""},
        {"name": "wine", "state": "UNAVAILABLE", "reason": ""},
    ]
    assert urllib3.request("POST", f"{server.url}/v2/repository/models/wine/load").status == 200
    ready = urllib3.request("POST", f"{server.url}/v2/repository/index", body=b'{"ready": true}')
    assert [entry["name"] for entry in json.loads(ready.data)] == ["churn", "wine"]

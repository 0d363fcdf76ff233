"""A real process with ten times more to do than it can, and uvicorn's protocol as we use it."""

import asyncio
import socket
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
import uvicorn
from support import onnx_models
from support.mixed_rows import ROWS
from uvicorn.server import ServerState

from stagewright.components.measurement.load.generator import http_request, run_load
from stagewright.components.predictor.http.uvicorn_protocol import Protocol

Start = Callable[..., Any]
SECONDS = 6.0


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that computes for some milliseconds, however many rows it is given."""
    return onnx_models.write_slow(tmp_path_factory.mktemp("slow"), size=160, repeats=36)


def resident_bytes(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def test_ten_times_the_capacity(start: Start, slow: Path) -> None:
    server = start("--model", str(slow), "--name", "slow", "--batch-rows", "1", "--max-queue", "50", "--threads", "1")
    address = server.url.removeprefix("http://")
    sent = [http_request("/v1/models/slow:predict", orjson.dumps({"instances": [[1.0]]}))]
    capacity = run_load(address, sent, connections=4, seconds=1.0).requests_per_second
    before = resident_bytes(server.process.pid)
    health: list[float] = []
    over = threading.Event()

    def probe() -> None:
        pool = urllib3.PoolManager(retries=False)
        while not over.wait(0.05):
            began = time.perf_counter()
            assert pool.request("GET", f"{server.url}/v2/health/live", timeout=5).status == 200
            health.append(time.perf_counter() - began)

    probing = threading.Thread(target=probe)
    probing.start()
    load = run_load(address, sent, connections=200, seconds=SECONDS, rate=min(10 * capacity, 6000))
    over.set()
    probing.join()

    assert set(load.statuses) == {200, 429}
    assert load.errors == 0
    assert load.requests_per_second > 0.3 * capacity  # what can be answered still is
    assert statistics.quantiles(health, n=10)[-1] < 0.1  # the rest is left to whatever else this machine does
    assert resident_bytes(server.process.pid) - before < 100 * 2**20


def test_one_answer_is_one_write() -> None:
    """uvicorn would write the head and the body apart; should it change how it writes, this says so."""
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            written.append(bytes(data))

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def resume_reading(self) -> None:
            """Nothing was paused."""

        def close(self) -> None:
            """Nothing is open."""

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def exchange() -> None:
        configuration = uvicorn.Config(
            application, http=Protocol, lifespan="off", log_config=None, date_header=False, server_header=False
        )
        configuration.load()
        protocol = Protocol(configuration, ServerState(), {})
        protocol.connection_made(Transport())
        for method in (b"GET", b"HEAD"):
            protocol.data_received(method + b" / HTTP/1.1\r\nhost: x\r\n\r\n")
            await asyncio.sleep(0.01)
        protocol.connection_lost(None)

    asyncio.run(exchange())
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\n"
    assert written == [head + b"ok", head]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(start: Start, models: dict[str, Path]) -> None:
    server = start("--model", str(models["mixed"]), "--name", "churn")
    body = orjson.dumps({"instances": ROWS})
    head = (
        b"POST /v1/models/churn:predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.announced["port"]), timeout=10) as client:
        client.sendall(head)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(orjson.loads(answer.split(b"\r\n\r\n", 1)[1])["predictions"]) == len(ROWS)

"""The real predictor as a process, to be measured: how long it takes to start, what memory it needs, what it answers."""

import http.client
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stagewright.components.measurement.cpu_limit import Limited, with_prefix
from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import GateFailed, ServiceUnavailable
from stagewright.components.runtime.files import place
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.processes import Process
from stagewright.components.runtime.serving_settings import FILE, ServingSettings

HOST = "127.0.0.1"
NAME = "measured"
POLL_SECONDS = 0.005
START_SECONDS = 120.0
NOT_YET = (404, 429, 503)
_PEAK = "VmHWM:"


@dataclass(frozen=True, slots=True)
class Served:
    """A predictor that answers.

    Attributes:
        cold_start_seconds: From the start of the process to its first prediction; no container or node was waited for.
    """

    address: str
    process: Process
    cold_start_seconds: float

    def peak_bytes(self) -> int:
        """The most memory that it has held, its workers included."""
        return sum(_peak(pid) for pid in group(self.process.pid))


@contextmanager
def predictor(
    model: Path, request: bytes, *, log: Path, options: Sequence[str] = (), limit: Limited | None = None
) -> Iterator[Served]:
    """Serve a model folder until the block ends.

    Args:
        request: A prediction, as sent by the load generator; the first that is answered ends the start.
        options: For the predictor's command line.
        limit: The CPU that it may use.

    Raises:
        GateFailed: If it ends, or does not answer in time.
    """
    port = processes.free_port()
    command = [
        sys.executable, "-m", "stagewright.components.predictor", "--model", str(model), "--name", NAME,
        "--host", HOST, "--port", str(port), *options,
    ]  # fmt: skip
    began = time.perf_counter()
    process = processes.start(with_prefix(limit, command), log=log, outlives=False)
    try:
        _wait(process, port, request, log)
        yield Served(f"http://{HOST}:{port}", process, time.perf_counter() - began)
    finally:
        processes.stop(process)


def with_settings(model: Path, folder: Path, settings: ServingSettings | None) -> Path:
    """A model folder that is served with these settings and no others; its files are those of the model."""
    serving = folder / SERVING
    serving.mkdir(parents=True)
    for file in (model / SERVING).iterdir():
        if file.name != FILE:
            place(file, serving / file.name)
    if settings is not None:
        settings.write(serving)
    return folder


def answer(address: str, request: bytes, *, timeout: float = 30.0) -> tuple[int, bytes]:
    """Status and body of one request made by `http_request`."""
    head, _, body = request.partition(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=timeout)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnavailable(f"{address} does not answer: {error}") from None
    finally:
        connection.close()


def _wait(process: Process, port: int, request: bytes, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    said = "no answer"
    while time.monotonic() < deadline:
        if not process.alive:
            raise GateFailed("the predictor to be measured", [f"it ended; its log ends with: {processes.last_line(log)}"])
        try:
            status, body = answer(f"http://{HOST}:{port}", request)
        except ServiceUnavailable:
            time.sleep(POLL_SECONDS)
            continue
        if status == 200:
            return
        said = f"{status} {body[:200].decode('utf-8', 'replace')}"
        if status not in NOT_YET:
            break
        time.sleep(POLL_SECONDS)
    raise GateFailed("the predictor to be measured", [f"it does not answer a row of the model: {said}"])


def group(leader: int) -> list[int]:
    """Processes of the group that this one leads."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if os.getpgid(int(folder.name)) == leader:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(_PEAK)), 0)

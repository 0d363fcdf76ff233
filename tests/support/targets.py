"""What the conformance tests speak to: a predictor of our own, or one that runs elsewhere."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3

ADDRESS, GRPC_ADDRESS = "STAGEWRIGHT_CONFORMANCE_ADDRESS", "STAGEWRIGHT_CONFORMANCE_GRPC"
VERSION = "v1.2.3"
START_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """A server that holds one of the tests' models.

    Attributes:
        url: With scheme; `host` is the same without.
        grpc: host:port of the gRPC service, "" without one.
        model: The name under which it is served.
        folder: The same model's files, to call ONNX Runtime directly.
        pid: Of the process, if it is ours; `log` is what it said.
    """

    url: str
    model: str
    folder: Path
    grpc: str = ""
    pid: int | None = None
    log: Path | None = None
    announced: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@contextmanager
def target(folder: Path, model: str, *arguments: str) -> Iterator[Target]:
    """A server with this model: the one that the environment names, otherwise a process of our own.

    A server elsewhere (a container, a cluster) must serve the same model folder under the same name and version;
    STAGEWRIGHT_CONFORMANCE_ADDRESS is its URL, STAGEWRIGHT_CONFORMANCE_GRPC its host:port.
    """
    elsewhere = os.environ.get(ADDRESS)
    if elsewhere:
        yield Target(elsewhere.rstrip("/"), model, folder, grpc=os.environ.get(GRPC_ADDRESS, ""))
        return
    with process(folder, model, *arguments) as started:
        yield started


@contextmanager
def process(folder: Path, model: str, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Target]:
    """A predictor's process that has announced its model."""
    command = [
        sys.executable, "-m", "stagewright.components.predictor", "--model", str(folder), "--name", model,
        "--version", VERSION, "--host", "127.0.0.1", "--port", "0", *arguments,
    ]  # fmt: skip
    log = folder.parent / f"{folder.name}-predictor-{uuid4().hex[:8]}.log"
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(environment or {})})
    try:
        announced = _announced(running, log)
        urllib3.request(
            "GET", f"http://127.0.0.1:{announced['port']}/v2/health/ready", timeout=START_SECONDS
        )  # gRPC listens too
        grpc = f"127.0.0.1:{announced['grpc_port']}" if announced.get("grpc_port") else ""
        yield Target(f"http://127.0.0.1:{announced['port']}", model, folder, grpc, running.pid, log, announced)
    finally:
        running.terminate()
        try:
            running.wait(30)
        finally:
            running.kill()


def _announced(running: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_bytes().splitlines():
            if b"model_served" in line:
                return json.loads(line)
        if running.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the predictor did not come up: {log.read_text()}")

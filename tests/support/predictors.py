"""A real predictor's process for tests."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stagewright.components.runtime import processes
from stagewright.components.serving import client


@contextmanager
def predictor(model: Path, *, name: str, version: str) -> Iterator[str]:
    """Serve a model folder; its address."""
    port = processes.free_port()
    command = [
        sys.executable, "-m", "stagewright.components.predictor", "--model", str(model), "--name", name,
        "--version", version, "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    process = processes.start(command, log=model / "predictor.log")
    try:
        client.wait_until_ready(f"http://127.0.0.1:{port}", name, 30.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop(process)

"""`python -m stagewright.components.predictor.mlflow_backend DIR --socket N`: one MLflow model in its own process.

The process loads the model, reports it to the parent, and computes requests until the parent closes the connection or ends. It
ignores signals that end the server: the parent shuts it down after the last request.
"""

import argparse
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from stagewright.components.predictor.mlflow_backend import formats, frames, heartbeat
from stagewright.components.predictor.mlflow_backend.frames import Closed
from stagewright.components.runtime.errors import StagewrightError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; errors of the model are sent to the parent. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stagewright.components.predictor.mlflow_backend")
    parser.add_argument("folder", help="folder of the MLflow model")
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of the connection to the parent")
    parser.add_argument("--heartbeat", type=int, required=True, help="file descriptor of the pipe for heartbeats")
    given = parser.parse_args(arguments)
    heartbeat.send_heartbeats(given.heartbeat)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket(fileno=given.socket) as connection:
        try:
            _serve(given.folder, connection)
        except Closed:
            return 0
        except StagewrightError as error:
            frames.send(connection, {"refused": str(error)})
            return error.exit_code
    return 0


def _serve(folder: str, connection: socket.socket) -> None:
    found = formats.read_format(folder)
    from stagewright.components.predictor.mlflow_backend.loading import load_format

    model = load_format(found)
    example, answered = _example(model)
    ready = {
        "task": model.task, "classes": model.classes, "framework": model.framework, "python": sys.version.split()[0],
        "example": sorted(example),
    }  # fmt: skip
    frames.send(connection, {"ready": ready}, {**example, **answered})
    while True:
        _, columns = frames.receive(connection)
        try:
            outputs = model.predict(columns)
        except Exception as error:  # noqa: BLE001 - every library has its own errors for invalid rows
            frames.send(connection, {"wrong": _sentence(error)})
            continue
        frames.send(connection, {}, {f"output:{name}": array for name, array in outputs.items()})


def _example(model: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns and predictions of the input example that was logged with the model; empty without a usable one."""
    rows = model.example()
    if rows is None:
        return {}, {}
    try:
        columns = model.columns(rows)
        answered = model.predict(columns)
    except Exception:  # noqa: BLE001 - an unreadable example does not mean an invalid model
        return {}, {}
    return columns, {f"output:{name}": array for name, array in answered.items()}


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _end_with_parent() -> None:
    """End with the parent. The parent holds the other end of standard input, which closes when the parent ends."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m stagewright.components.predictor.mlflow_backend DIR --socket N`: a model in a process of its own.

It loads one MLflow model, says what it is, and answers its parent until the parent closes the connection or ends. Signals that
end the server are for the parent to act on: this process goes on answering until it is not needed any more.
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
    """Serve the parent; what is wrong with the model is told to it."""
    parser = argparse.ArgumentParser(prog="python -m stagewright.components.predictor.mlflow_backend")
    parser.add_argument("folder", help="the MLflow model")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the connection to the parent")
    parser.add_argument("--heartbeat", type=int, required=True, help="descriptor of the pipe that tells the parent of our life")
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
        except Exception as error:  # noqa: BLE001 - a model refuses rows in whatever way its library does
            frames.send(connection, {"wrong": _sentence(error)})
            continue
        frames.send(connection, {}, {f"output:{name}": array for name, array in outputs.items()})


def _example(model: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The rows that were logged with the model, and its answers to them: what the server will have to answer too."""
    rows = model.example()
    if rows is None:
        return {}, {}
    try:
        columns = model.columns(rows)
        answered = model.predict(columns)
    except Exception:  # noqa: BLE001 - an example that cannot be read says nothing about the model
        return {}, {}
    return columns, {f"output:{name}": array for name, array in answered.items()}


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _end_with_parent() -> None:
    """The parent holds the other end of standard input and never writes: its end is the parent's."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

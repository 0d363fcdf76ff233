"""The parent's handle of an MLflow model's process: start, one request at a time, end."""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stagewright.components.predictor.mlflow_backend import frames
from stagewright.components.predictor.mlflow_backend.frames import Closed
from stagewright.components.predictor.mlflow_backend.heartbeat import Heartbeat
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError

START_SECONDS = 120.0
STOP_SECONDS = 2.0
INTERPRETER = "STAGEWRIGHT_WORKER_PYTHON"
_MODULE = "stagewright.components.predictor.mlflow_backend"
# Prefixes of environment variables that libraries need. The process does not inherit others, such as secrets.
_KEPT = (
    "PATH", "LANG", "LC_", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON", "VIRTUAL_ENV", "CUDA_", "NVIDIA_",
    "OMP_", "OPENBLAS_", "MKL_", "JOBLIB_", "COVERAGE_",
)  # fmt: skip
_NOT_DUMPABLE = 4  # of prctl: PR_SET_DUMPABLE
_KEPT_LINES, _SHOWN = 20, 500
_LEAST_SECONDS = 0.001  # a timeout of 0 would mean something else
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Wrong(Exception):
    """The model refuses these rows."""


class ModelProcess:
    """A process that runs one MLflow model for this process.

    Args:
        folder: Folder of the MLflow model.
        name: Name of the model, for the log.
        threads: Threads for its libraries.
        interpreter: Python interpreter. Default: STAGEWRIGHT_WORKER_PYTHON, then this interpreter.

    Attributes:
        heartbeat: Its heartbeats.

    Raises:
        InputError: If the interpreter cannot be started.
    """

    def __init__(self, folder: Path, name: str, *, threads: int = 1, interpreter: str | None = None) -> None:
        self.folder, self.name = folder, name
        _hide()
        ours, theirs = socket.socketpair()
        self.heartbeat = Heartbeat()
        python = interpreter or os.environ.get(INTERPRETER) or sys.executable
        handed = (theirs.fileno(), self.heartbeat.child_end)
        command = [python, "-m", _MODULE, str(folder), "--socket", str(handed[0]), "--heartbeat", str(handed[1])]
        try:
            # Standard input is an unused pipe. It closes when this process ends, however it ends.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=handed, env=_environment(threads),
            )  # fmt: skip
        except OSError as error:
            ours.close()
            self.heartbeat.close()
            raise InputError(f"the interpreter {python} of model '{name}' cannot be started: {error.strerror}") from None
        finally:
            theirs.close()
            self.heartbeat.close_child_end()
        self._connection = ours
        self._asking = threading.Lock()
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, name=f"worker-{name}", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while the process runs."""
        return self._process.poll()

    @property
    def memory(self) -> int:
        """Resident memory in bytes; 0 if the system does not report it."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            return 0

    def ready(self, seconds: float = START_SECONDS) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Wait until the model is loaded; return its description, and the columns and predictions of its input example.

        Raises:
            InputError: If it cannot be loaded.
        """
        try:
            message, arrays = frames.receive(self._connection, time.monotonic() + seconds)
        except TimeoutError:
            self.kill()
            raise InputError(f"the MLflow model in {self.folder} was not loaded within {seconds:g} seconds") from None
        except Closed:
            self.kill()
            self._listener.join(1.0)
            last = self._said[-1] if self._said else "no output"
            raise InputError(f"the process of the MLflow model in {self.folder} ended while it loaded: {last}") from None
        if "refused" in message:
            self.close()
            raise InputError(message["refused"])
        return message["ready"], arrays

    def call(self, columns: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """Run an inference on columns [N, 1]. After any exception except Wrong, the process must be killed.

        Args:
            until: Deadline, in seconds of the monotonic clock.

        Returns:
            `label` [N] and `probabilities` [N, C], or `prediction` [N].

        Raises:
            Wrong: If the model refuses these rows.
            Closed: If the process has ended.
            TimeoutError: If the deadline passes.
        """
        with self._asking:
            self._connection.settimeout(max(_LEAST_SECONDS, until - time.monotonic()))
            frames.send(self._connection, {}, columns)
            message, outputs = frames.receive(self._connection, until)
        if "wrong" in message:
            raise Wrong(message["wrong"])
        return {name.removeprefix("output:"): array for name, array in outputs.items()}

    def wait(self, seconds: float) -> int | None:
        """Wait for the end of the process; return its exit code, or None after a timeout."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let the process end, and kill it after two seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # also wakes a thread that waits for a response
        if self.wait(STOP_SECONDS) is None:
            self.kill()
        with self._asking:
            self._connection.close()
        self.heartbeat.close()

    def _listen(self) -> None:
        """Copy its output to the server log, line by line."""
        output = self._process.stdout
        for line in output or ():
            text = line.decode(errors="replace").rstrip()
            if text:
                self._said.append(text[:_SHOWN])
                logs.event("worker_output", model=self.name, worker=self._process.pid, line=text[:_SHOWN])


def _hide() -> None:
    """Protect this process's memory and environment from child processes of the same user."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0, 0, 0, 0)


def _environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "STAGEWRIGHT_THREADS")
    return {**kept, **dict.fromkeys(names, str(threads)), "PYTHONUNBUFFERED": "1"}

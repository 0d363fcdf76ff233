"""A model's process as its parent sees it: started, asked one thing at a time, ended."""

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
# What a library needs to run; whatever else the server was given, secrets among it, is not the model's.
_KEPT = (
    "PATH", "LANG", "LC_", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON", "VIRTUAL_ENV", "CUDA_", "NVIDIA_",
    "OMP_", "OPENBLAS_", "MKL_", "JOBLIB_", "COVERAGE_",
)  # fmt: skip
_NOT_DUMPABLE = 4  # of prctl: PR_SET_DUMPABLE
_KEPT_LINES, _SHOWN = 20, 500
_LEAST_SECONDS = 0.001  # a timeout of 0 would mean something else
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Wrong(Exception):
    """The model cannot answer these rows."""


class ModelProcess:
    """A process that serves one model to this one alone.

    Args:
        folder: The MLflow model.
        name: Of the model, for the log.
        threads: That its libraries may use.
        interpreter: The Python that runs it; by default what STAGEWRIGHT_WORKER_PYTHON names, else this one.

    Attributes:
        heartbeat: Its signs of life.
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
            # Standard input is a pipe that nobody writes to: it ends with this process, however that ends.
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
        """None while it runs."""
        return self._process.poll()

    @property
    def memory(self) -> int:
        """Bytes that it holds; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            return 0

    def ready(self, seconds: float = START_SECONDS) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Wait until the model is loaded; what it is, and its example's columns and answers.

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
            last = self._said[-1] if self._said else "it said nothing"
            raise InputError(f"the process of the MLflow model in {self.folder} ended while it loaded: {last}") from None
        if "refused" in message:
            self.close()
            raise InputError(message["refused"])
        return message["ready"], arrays

    def call(self, columns: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """The model's answers to columns [N, 1]. After any exception but Wrong the process is of no use any more.

        Args:
            until: When it is too late for them; a moment of the monotonic clock.

        Raises:
            Wrong: If the model cannot answer these rows.
            Closed: If the process has ended.
            TimeoutError: If it takes too long.
        """
        with self._asking:
            self._connection.settimeout(max(_LEAST_SECONDS, until - time.monotonic()))
            frames.send(self._connection, {}, columns)
            message, outputs = frames.receive(self._connection, until)
        if "wrong" in message:
            raise Wrong(message["wrong"])
        return {name.removeprefix("output:"): array for name, array in outputs.items()}

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None if it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it end, and insist after a while."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # which also ends the wait of who has asked
        if self.wait(STOP_SECONDS) is None:
            self.kill()
        with self._asking:
            self._connection.close()
        self.heartbeat.close()

    def _listen(self) -> None:
        """Its output, line by line, as entries of our log."""
        output = self._process.stdout
        for line in output or ():
            text = line.decode(errors="replace").rstrip()
            if text:
                self._said.append(text[:_SHOWN])
                logs.event("worker_output", model=self.name, worker=self._process.pid, line=text[:_SHOWN])


def _hide() -> None:
    """Keep what is in this process's memory and environment from its children, who run as the same user."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0, 0, 0, 0)


def _environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "STAGEWRIGHT_THREADS")
    return {**kept, **dict.fromkeys(names, str(threads)), "PYTHONUNBUFFERED": "1"}

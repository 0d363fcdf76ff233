"""A model without an ONNX form, as the server's other models are.

It computes in a process of its own, which is started again when it ends; until then its requests are told to try again.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, StagewrightError
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Signature
from stagewright.components.serving.predictor.columns import Columns
from stagewright.components.serving.predictor.errors import ModelNotReady, RequestError
from stagewright.components.serving.predictor.source import WORKER, ModelFiles
from stagewright.components.serving.predictor.worker.columns import WorkerColumns
from stagewright.components.serving.predictor.worker.frames import Closed
from stagewright.components.serving.predictor.worker.process import WorkerProcess, Wrong
from stagewright.components.serving.predictor.worker.source import local_folder

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0  # a process that lived so long did not end because of how it was started
LOOK_SECONDS = 0.25
ANSWER_SECONDS = 60.0
MEGABYTE = 1024 * 1024

__all__ = ["WORKER", "WorkerModel", "load"]


class WorkerRestarting(ModelNotReady):
    """The model's process has ended and is started again."""

    def __init__(self, name: str) -> None:
        RequestError.__init__(self, f"the process of model '{name}' is being started again; try again soon")


class WorkerTooSlow(RequestError):
    """The model took longer than it may."""

    status = 504

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"model '{name}' did not answer within {seconds:g} seconds; send fewer rows at once")


class WorkerRefused(RequestError):
    """The model's library cannot answer the rows of a request."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model '{name}' cannot answer these rows: {reason}")


def load(files: ModelFiles, name: str, *, version: str | None = None, threads: int = 1) -> "WorkerModel":
    """Start a model's process and wait until it can answer.

    STAGEWRIGHT_WORKER_SECONDS and STAGEWRIGHT_WORKER_MEMORY_MB limit what it may take, STAGEWRIGHT_WORKER_PYTHON names the
    interpreter that runs it.

    Args:
        version: Replaces the manifest's.
        threads: That its libraries may use.

    Raises:
        InputError: If the model cannot be loaded or answers something else than its signature says.
    """
    try:
        signature = Signature.from_dict(json.loads(files.signature))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the signature of the model at {files.location} is malformed: {type(error).__name__} {error}"
        ) from None
    seconds, megabytes = _limit("STAGEWRIGHT_WORKER_SECONDS"), _limit("STAGEWRIGHT_WORKER_MEMORY_MB")
    folder, remove = local_folder(files.location)
    start = partial(WorkerProcess, folder, name, threads=threads)
    try:
        process = start()
        _check(process, signature)
    except BaseException:
        remove()
        raise
    return WorkerModel(
        name, version or files.version, signature, process, start, seconds=seconds or ANSWER_SECONDS,
        memory=None if megabytes is None else int(megabytes * MEGABYTE), closed=remove,
    )  # fmt: skip


class WorkerModel:
    """A model in a process of its own.

    Args:
        process: Runs the model, and is ready.
        start: Makes another one.
        seconds: Longest time of an answer; the process is ended when it takes longer.
        memory: Most bytes that the process may hold; it is ended when it holds more. None sets no limit.
        closed: Called when the model is not needed any more.
    """

    platform = "mlflow_worker"
    apart = True  # an answer comes from another process, so nobody waits for it on the event loop

    def __init__(
        self, name: str, version: str | None, signature: Signature, process: WorkerProcess,
        start: Callable[[], WorkerProcess], *, seconds: float = ANSWER_SECONDS, memory: int | None = None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.name, self.version, self.signature = name, version, signature
        self.columns: Columns = WorkerColumns(signature.inputs)
        self.outputs: list[dict[str, Any]] = signature.outputs
        # One process answers one request at a time: more threads than one would only wait for each other.
        self.settings = ServingSettings(concurrency=1)
        self._start, self._seconds, self._memory, self._closed = start, seconds, memory, closed
        self._process: WorkerProcess | None = process
        self._one_at_a_time = threading.Lock()
        self._closing = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name=f"supervise-{name}", daemon=True)
        self._supervisor.start()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs [N, 1]: `label` [N] and `probabilities` [N, C], or `prediction` [N].

        Raises:
            WorkerRestarting: While there is no process.
            WorkerTooSlow: If the model takes too long.
            WorkerRefused: If the model's library cannot answer these rows.
        """
        with self._one_at_a_time:
            process = self._process
            if process is None:
                raise WorkerRestarting(self.name)
            try:
                return process.call(feeds, self._seconds)
            except Wrong as error:
                raise WorkerRefused(self.name, str(error)) from None
            except TimeoutError:
                self._lose(process)
                raise WorkerTooSlow(self.name, self._seconds) from None
            except (Closed, OSError, ValueError):
                self._lose(process)
                raise WorkerRestarting(self.name) from None

    @property
    def pid(self) -> int | None:
        """Of the model's process, while there is one."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the model's process."""
        self._closing.set()
        process, self._process = self._process, None
        if process is not None:
            process.close()
        self._supervisor.join(LOOK_SECONDS * 4)
        self._closed()

    def _lose(self, process: WorkerProcess) -> None:
        """A process that did not answer in time, or not at all, has answers left for somebody else: it ends."""
        self._process = None
        process.kill()

    def _supervise(self) -> None:
        pause, began = FIRST_PAUSE_SECONDS, time.monotonic()
        process = self._process
        while not self._closing.is_set():
            if process is not None and process.wait(LOOK_SECONDS) is None:
                self._check_memory(process)
                continue
            if self._closing.is_set():
                return
            self._process = None
            if process is not None:
                with self._one_at_a_time:
                    process.close()
            code = process.exit_code if process else None
            pause = FIRST_PAUSE_SECONDS if time.monotonic() - began > STEADY_SECONDS else pause
            logs.event("worker_ended", model=self.name, exit_code=code, restart_in_seconds=pause)
            if self._closing.wait(pause):
                return
            pause, began = min(pause * 2, LONGEST_PAUSE_SECONDS), time.monotonic()
            process = self._start_again()

    def _start_again(self) -> WorkerProcess | None:
        try:
            process = self._start()
            _check(process, self.signature)
        except StagewrightError as error:
            logs.event("worker_not_started", model=self.name, error=str(error))
            return None
        if self._closing.is_set():
            process.close()
            return None
        self._process = process
        logs.event("worker_started", model=self.name, worker=process.pid)
        return process

    def _check_memory(self, process: WorkerProcess) -> None:
        held = process.memory
        if self._memory is not None and held > self._memory:
            logs.event("worker_too_large", model=self.name, worker=process.pid, bytes=held, limit=self._memory)
            process.kill()


def _limit(variable: str) -> float | None:
    given = os.environ.get(variable)
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise InputError(f"environment variable {variable} is '{given}'; expected a number above 0")
    return number


def _check(process: WorkerProcess, signature: Signature) -> None:
    """Wait until a process is ready, and compare its model with the signature."""
    ready, _ = process.ready()
    classes = None if ready["classes"] is None else tuple(ready["classes"])
    if (ready["task"], classes) != (signature.task, signature.classes):
        process.close()
        raise InputError(f"the model at {process.folder} answers {ready['task']} {list(classes or ())}, but its signature says "
                         f"{signature.task} {list(signature.classes or ())}; import it again")  # fmt: skip

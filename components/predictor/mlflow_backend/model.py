"""A model of the MLflow backend, with the interface of the server's other models.

The model runs in its own process, which is restarted when it ends. The interrupted request is repeated in the next process.
Requests that arrive without a running process get 503 with Retry-After.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stagewright.components.predictor.inference.columns import Columns
from stagewright.components.predictor.liveness import limit, liveness_timeout
from stagewright.components.predictor.mlflow_backend.columns import MlflowColumns
from stagewright.components.predictor.mlflow_backend.frames import Closed
from stagewright.components.predictor.mlflow_backend.process import ModelProcess, Wrong
from stagewright.components.predictor.mlflow_backend.restarter import Restarter
from stagewright.components.predictor.mlflow_backend.source import local_folder
from stagewright.components.predictor.model_source import MLFLOW_BACKEND, ModelFiles
from stagewright.components.predictor.wire.errors import ModelNotReady, RequestError, counted
from stagewright.components.runtime import logs
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Signature

ANSWER_SECONDS = 60.0
MEGABYTE = 1024 * 1024

__all__ = ["MLFLOW_BACKEND", "MlflowModel", "load_mlflow_model"]


class ModelRestarting(ModelNotReady):
    """The model's process has ended and is being restarted.

    Args:
        seconds: Expected seconds until it is ready again.
        attempts: Number of processes that ended while they computed these rows.
    """

    def __init__(self, name: str, seconds: int, attempts: int = 0) -> None:
        ended = (
            f"the process of model '{name}' has ended",
            f"the process of model '{name}' ended while it computed these rows",
            f"the process of model '{name}' ended twice while it computed these rows, which may be what ends it",
        )[attempts]
        RequestError.__init__(self, f"{ended}, and is being started again; try again in {counted(seconds, 'second')}")
        self.retry_after = seconds


class ModelTooSlow(RequestError):
    """The model exceeded its time limit."""

    status = 504

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"model '{name}' did not answer within {seconds:g} seconds; send fewer rows at once")


class RowsRefused(RequestError):
    """The model's library refuses the rows of a request."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model '{name}' cannot answer these rows: {reason}")


def load_mlflow_model(files: ModelFiles, name: str, *, version: str | None = None, threads: int = 1) -> "MlflowModel":
    """Start a model's process and wait until it is ready.

    STAGEWRIGHT_WORKER_SECONDS, STAGEWRIGHT_WORKER_SILENCE_SECONDS and STAGEWRIGHT_WORKER_MEMORY_MB set its limits.
    STAGEWRIGHT_WORKER_PYTHON sets its interpreter.

    Args:
        files: Files of the model.
        name: Name to serve it under.
        version: Version to report instead of the manifest's.
        threads: Threads for its libraries.

    Raises:
        InputError: If the model cannot be loaded or does not match its signature.
    """
    try:
        signature = Signature.from_dict(read_json(files.signature))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the signature of the model at {files.location} is malformed: {type(error).__name__} {error}"
        ) from None
    seconds, megabytes = limit("STAGEWRIGHT_WORKER_SECONDS"), limit("STAGEWRIGHT_WORKER_MEMORY_MB")
    timeout = liveness_timeout()
    folder, remove = local_folder(files.location)
    start = partial(_start, folder, name, signature, threads)
    try:
        process = start()
    except BaseException:
        remove()
        raise
    restarter = Restarter(
        name, process, start, memory=None if megabytes is None else int(megabytes * MEGABYTE),
        liveness_timeout=timeout,
    )  # fmt: skip
    return MlflowModel(
        name, version or files.version, signature, restarter, seconds=seconds or ANSWER_SECONDS, closed=remove
    )  # fmt: skip


class MlflowModel:
    """A model in its own process.

    Args:
        restarter: Keeps the process running.
        seconds: Time limit of an inference; the process is killed when it takes longer.
        closed: Called when the model is closed.
    """

    platform = "mlflow_worker"
    apart = True  # runs in another process, so its inferences never run on the event loop

    def __init__(
        self, name: str, version: str | None, signature: Signature, restarter: Restarter, *, seconds: float = ANSWER_SECONDS,
        closed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.name, self.version, self.signature = name, version, signature
        self.columns: Columns = MlflowColumns(signature.inputs)
        self.outputs: list[dict[str, Any]] = signature.outputs
        # The process computes one batch at a time, so more threads would only wait.
        self.settings = ServingSettings(concurrency=1)
        self._restarter, self._seconds, self._closed = restarter, seconds, closed

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs [N, 1]: `label` [N] and `probabilities` [N, C], or `prediction` [N].

        If the process ends during the inference, its successor repeats the inference once.

        Raises:
            ModelRestarting: If there is no process, the second one ends too, or it does not start in time.
            ModelTooSlow: If the model takes too long.
            RowsRefused: If the model's library refuses these rows.
        """
        restarter, until = self._restarter, time.monotonic() + self._seconds
        process = restarter.process
        if process is None:
            raise ModelRestarting(self.name, restarter.retry_after)
        try:
            return self._ask(process, feeds, until)
        except Closed:
            successor = restarter.successor(process, until)
        if successor is None:
            raise ModelRestarting(self.name, restarter.retry_after, attempts=1)
        logs.event("worker_asked_again", model=self.name, worker=successor.pid)
        try:
            return self._ask(successor, feeds, until)
        except Closed:
            raise ModelRestarting(self.name, restarter.retry_after, attempts=2) from None

    @property
    def pid(self) -> int | None:
        """Id of the model's process; None if there is none."""
        process = self._restarter.process
        return process.pid if process else None

    def close(self) -> None:
        """End the model's process."""
        self._restarter.close()
        self._closed()

    def _ask(self, process: ModelProcess, feeds: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """Run an inference in a process. After a timeout or a broken message the process is killed, so that the next request
        does not get its late response.

        Raises:
            Closed: If the process ended or sent an invalid message.
            ModelTooSlow: If the inference exceeds the time limit.
            RowsRefused: If the model's library refuses the rows.
        """
        try:
            return process.call(feeds, until)
        except Wrong as error:
            raise RowsRefused(self.name, str(error)) from None
        except TimeoutError:
            self._restarter.lose(process)
            raise ModelTooSlow(self.name, self._seconds) from None
        except (Closed, OSError, ValueError):
            self._restarter.lose(process)
            raise Closed from None


def _start(folder: Path, name: str, signature: Signature, threads: int) -> ModelProcess:
    """Start a process, wait until it is ready, and compare its model with the signature.

    Raises:
        InputError: If it cannot be started, or its model does not match the signature.
    """
    process = ModelProcess(folder, name, threads=threads)
    ready, _ = process.ready()
    classes = None if ready["classes"] is None else tuple(ready["classes"])
    if (ready["task"], classes) != (signature.task, signature.classes):
        process.close()
        raise InputError(f"the model at {folder} answers {ready['task']} {list(classes or ())}, but its signature says "
                         f"{signature.task} {list(signature.classes or ())}; import it again")  # fmt: skip
    return process

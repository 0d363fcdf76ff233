"""A model without an ONNX form, as the server's other models are.

It computes in a process of its own, which is started again when it ends. What the process was asked then is asked of the next
one; requests that come meanwhile are told to try again.
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
    """The model's process has ended and is started again.

    Args:
        seconds: In which it is expected to answer again.
        asked: How often these rows were asked of a process that ended before it answered.
    """

    def __init__(self, name: str, seconds: int, asked: int = 0) -> None:
        ended = (
            f"the process of model '{name}' has ended",
            f"the process of model '{name}' ended while it computed these rows",
            f"the process of model '{name}' ended twice while it computed these rows, which may be what ends it",
        )[asked]
        RequestError.__init__(self, f"{ended}, and is being started again; try again in {counted(seconds, 'second')}")
        self.retry_after = seconds


class ModelTooSlow(RequestError):
    """The model took longer than it may."""

    status = 504

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"model '{name}' did not answer within {seconds:g} seconds; send fewer rows at once")


class RowsRefused(RequestError):
    """The model's library cannot answer the rows of a request."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model '{name}' cannot answer these rows: {reason}")


def load_mlflow_model(files: ModelFiles, name: str, *, version: str | None = None, threads: int = 1) -> "MlflowModel":
    """Start a model's process and wait until it can answer.

    STAGEWRIGHT_WORKER_SECONDS, STAGEWRIGHT_WORKER_SILENCE_SECONDS and STAGEWRIGHT_WORKER_MEMORY_MB limit what it may take,
    STAGEWRIGHT_WORKER_PYTHON names the interpreter that runs it.

    Args:
        version: Replaces the manifest's.
        threads: That its libraries may use.

    Raises:
        InputError: If the model cannot be loaded or answers something else than its signature says.
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
    """A model in a process of its own.

    Args:
        restarter: Keeps the process.
        seconds: Longest time of an answer; the process is ended when it takes longer.
        closed: Called when the model is not needed any more.
    """

    platform = "mlflow_worker"
    apart = True  # an answer comes from another process, so nobody waits for it on the event loop

    def __init__(
        self, name: str, version: str | None, signature: Signature, restarter: Restarter, *, seconds: float = ANSWER_SECONDS,
        closed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.name, self.version, self.signature = name, version, signature
        self.columns: Columns = MlflowColumns(signature.inputs)
        self.outputs: list[dict[str, Any]] = signature.outputs
        # One process answers one request at a time: more threads than one would only wait for each other.
        self.settings = ServingSettings(concurrency=1)
        self._restarter, self._seconds, self._closed = restarter, seconds, closed

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs [N, 1]: `label` [N] and `probabilities` [N, C], or `prediction` [N].

        A process that ends before it has answered takes nothing with it: its successor is asked the same once more.

        Raises:
            ModelRestarting: While there is no process, or if the second one ends too, or does not come in time.
            ModelTooSlow: If the model takes too long.
            RowsRefused: If the model's library cannot answer these rows.
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
            raise ModelRestarting(self.name, restarter.retry_after, asked=1)
        logs.event("worker_asked_again", model=self.name, worker=successor.pid)
        try:
            return self._ask(successor, feeds, until)
        except Closed:
            raise ModelRestarting(self.name, restarter.retry_after, asked=2) from None

    @property
    def pid(self) -> int | None:
        """Of the model's process, while there is one."""
        process = self._restarter.process
        return process.pid if process else None

    def close(self) -> None:
        """End the model's process."""
        self._restarter.close()
        self._closed()

    def _ask(self, process: ModelProcess, feeds: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """A process's answer. One that gives none is lost: what it still may say would be taken for another's answer.

        Raises:
            Closed: If it ended, or said what is no answer.
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
    """A process that is ready; its model is compared with the signature.

    Raises:
        InputError: If it cannot be started, or its model is another.
    """
    process = ModelProcess(folder, name, threads=threads)
    ready, _ = process.ready()
    classes = None if ready["classes"] is None else tuple(ready["classes"])
    if (ready["task"], classes) != (signature.task, signature.classes):
        process.close()
        raise InputError(f"the model at {folder} answers {ready['task']} {list(classes or ())}, but its signature says "
                         f"{signature.task} {list(signature.classes or ())}; import it again")  # fmt: skip
    return process

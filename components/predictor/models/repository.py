"""The models of a process by name. A new version replaces the old one, which finishes its requests.

A new version is staged first: only requests for that version reach it. A commit then replaces the served version between two
requests. Each request keeps a reference to its model's batcher until its response is sent. The old model is closed when the
last reference is gone.
"""

import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stagewright.components.predictor.inference.batching import Batcher
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.errors import ModelNotReady, UnknownModel, UnknownVersion
from stagewright.components.predictor.wire.limits import Bounds
from stagewright.components.runtime import logs

STAGED = "staged"  # alias for the version of the staged model


@dataclass(frozen=True, slots=True)
class Served:
    """A model and its batcher.

    Attributes:
        release: Closes the model when the batcher has no reference.
    """

    model: Model
    batcher: Batcher
    release: "weakref.finalize[[Model], Batcher] | None" = None


class Repository:
    """Models by name.

    Args:
        names: Models that will be loaded: known, but not ready.
        pool: Threads for inferences.
        metrics: Metrics of the server.
        bounds: Limits of each model's queue.
    """

    def __init__(
        self, names: Iterable[str], *, pool: ThreadPoolExecutor, metrics: Metrics, bounds: Bounds | None = None
    ) -> None:
        self._served: dict[str, Served | None] = dict.fromkeys(names)
        self._staged: dict[str, Served] = {}
        self._held: set[str] = set()
        self._pool, self._metrics, self._bounds = pool, metrics, bounds

    @property
    def names(self) -> list[str]:
        return list(self._served)

    @property
    def ready(self) -> bool:
        """Whether every known model is ready."""
        return all(self._served.values()) and not self._held

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """The models as V2's repository extension lists them; only the ready ones if `ready`."""
        entries = []
        for name, served in self._served.items():
            version = {"version": served.model.version} if served is not None and served.model.version else {}
            if served is not None or not ready:
                entries.append({"name": name, **version, "state": "READY" if served else "LOADING", "reason": ""})
        return entries

    def expect(self, name: str) -> None:
        """Announce a model that will be loaded."""
        self._served.setdefault(name, None)

    def serve(self, model: Model) -> None:
        """Serve this model at once."""
        self.stage(model)
        self.commit(model.name)

    def stage(self, model: Model) -> None:
        """Stage a model. Only requests for its version, or for `STAGED`, reach it."""
        batcher = Batcher(model, self._pool, self._metrics, self._bounds)
        release = weakref.finalize(batcher, _close_in_thread, model)
        release.atexit = False
        self._staged[model.name] = Served(model, batcher, release)

    def commit(self, name: str, *, held: bool = False) -> None:
        """Serve the staged model in place of the served one, between two requests.

        Args:
            held: Serve the model, but report it as not ready until `release`, because other processes are not ready.
        """
        served = self._staged.pop(name)
        self._served[name] = served
        self._held |= {name} if held else set()
        model, signature = served.model, served.model.signature
        self._metrics.loaded(model.name, version=model.version or "", task=signature.task, framework=signature.framework or "")

    def release(self, name: str) -> None:
        """Report the model as ready."""
        self._held.discard(name)

    def discard(self, name: str) -> None:
        """Remove the staged model."""
        self._staged.pop(name, None)

    def remove(self, name: str) -> None:
        """Stop serving a model."""
        self.discard(name)
        self.release(name)
        if self._served.pop(name, None) is not None:
            self._metrics.unloaded(name)

    def find(self, name: str, version: str | None = None) -> Served:
        """The model of this name.

        Raises:
            UnknownModel: If there is none.
            ModelNotReady: If it is not loaded yet.
            UnknownVersion: If another version is served.
        """
        try:
            served = self._served[name]
        except KeyError:
            raise UnknownModel(name) from None
        if version is not None and (served is None or version != served.model.version):
            return self._find_staged(name, version, served)
        if served is None:
            raise ModelNotReady(name)
        return served

    def find_ready(self, name: str, version: str | None = None) -> Served:
        """The model of this name, if it is ready in every process of the server.

        Raises:
            UnknownModel, ModelNotReady, UnknownVersion: As `find`.
        """
        served = self.find(name, version)
        if name in self._held:
            raise ModelNotReady(name)
        return served

    def _find_staged(self, name: str, version: str, served: Served | None) -> Served:
        staged = self._staged.get(name)
        if staged is not None and version in (staged.model.version, STAGED):
            return staged
        if served is None:
            raise ModelNotReady(name)
        raise UnknownVersion(name, version, served.model.version)

    def close(self) -> None:
        """Close every model."""
        served = [*self._served.values(), *self._staged.values()]
        self._served, self._staged = dict.fromkeys(self._served), {}
        for one in served:
            if one is not None and (one.release is None or one.release.detach()):
                _close(one.model)

    def count_waiting(self) -> None:
        """Record the queue length of each model."""
        for name, served in self._served.items():
            if served is not None:
                self._metrics.queued(name, served.batcher.waiting)


def _close_in_thread(model: Model) -> None:
    """Close an unused model in a thread, so that the caller does not wait."""
    threading.Thread(target=_close, args=(model,), name="close").start()


def _close(model: Model) -> None:
    model.close()
    logs.event("model_released", model=model.name, version=model.version)

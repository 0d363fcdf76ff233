"""The models that a process serves, by name; a model is replaced while its predecessor finishes what it has begun.

A new version is first set beside the served one, where only its own path reaches it. Then it takes its place between two
requests. Whoever asked the old one holds its batcher until the answer is sent; when the last of them lets go of it, the model
is closed.
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

STAGED = "staged"  # as a version: the model that stands beside the served one, whatever its own


@dataclass(frozen=True, slots=True)
class Served:
    """A model with the way its inferences run.

    Attributes:
        release: Closes the model once nobody holds the batcher.
    """

    model: Model
    batcher: Batcher
    release: "weakref.finalize[[Model], Batcher] | None" = None


class Repository:
    """Models by name.

    Args:
        names: Models that are to come: known, but not ready.
        pool: Threads in which models compute.
        bounds: What may wait for a model.
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
        """Whether every model that is known can answer."""
        return all(self._served.values()) and not self._held

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """The models as V2's repository extension lists them; only those that can answer if `ready`."""
        entries = []
        for name, served in self._served.items():
            version = {"version": served.model.version} if served is not None and served.model.version else {}
            if served is not None or not ready:
                entries.append({"name": name, **version, "state": "READY" if served else "LOADING", "reason": ""})
        return entries

    def expect(self, name: str) -> None:
        """A model that is to come."""
        self._served.setdefault(name, None)

    def serve(self, model: Model) -> None:
        """Answer with this model from now on."""
        self.stage(model)
        self.commit(model.name)

    def stage(self, model: Model) -> None:
        """Set a model beside the served one of its name: only requests for its version, or for `STAGED`, reach it."""
        batcher = Batcher(model, self._pool, self._metrics, self._bounds)
        release = weakref.finalize(batcher, _close_in_thread, model)
        release.atexit = False
        self._staged[model.name] = Served(model, batcher, release)

    def commit(self, name: str, *, held: bool = False) -> None:
        """Let the model that stands beside the served one take its place, between two requests.

        Args:
            held: It answers, but does not say that it is ready until `release`: other processes are not.
        """
        served = self._staged.pop(name)
        self._served[name] = served
        self._held |= {name} if held else set()
        model, signature = served.model, served.model.signature
        self._metrics.loaded(model.name, version=model.version or "", task=signature.task, framework=signature.framework or "")

    def release(self, name: str) -> None:
        """Say that a model is ready."""
        self._held.discard(name)

    def discard(self, name: str) -> None:
        """Take away the model that stands beside the served one."""
        self._staged.pop(name, None)

    def remove(self, name: str) -> None:
        """Serve a model no longer."""
        self.discard(name)
        self.release(name)
        if self._served.pop(name, None) is not None:
            self._metrics.unloaded(name)

    def find(self, name: str, version: str | None = None) -> Served:
        """The model of this name.

        Raises:
            UnknownModel: If there is none.
            ModelNotReady: If it is not loaded yet.
            UnknownVersion: If another version of it is served.
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
        """The model of this name, if every process of this server has it.

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
        """Close every model; nothing can be asked any more."""
        served = [*self._served.values(), *self._staged.values()]
        self._served, self._staged = dict.fromkeys(self._served), {}
        for one in served:
            if one is not None and (one.release is None or one.release.detach()):
                _close(one.model)

    def count_waiting(self) -> None:
        """Record how many predictions wait for each model."""
        for name, served in self._served.items():
            if served is not None:
                self._metrics.queued(name, served.batcher.waiting)


def _close_in_thread(model: Model) -> None:
    """Close a model that nobody asks any more, without holding up whoever let go of it."""
    threading.Thread(target=_close, args=(model,), name="close").start()


def _close(model: Model) -> None:
    model.close()
    logs.event("model_released", model=model.name, version=model.version)

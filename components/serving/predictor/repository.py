"""The models that a process serves, by name; a model is replaced while its predecessor finishes what it has begun."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stagewright.components.serving.predictor.batching import Batcher
from stagewright.components.serving.predictor.errors import ModelNotReady, UnknownModel, UnknownVersion
from stagewright.components.serving.predictor.metrics import Metrics
from stagewright.components.serving.predictor.model import OnnxModel


@dataclass(frozen=True, slots=True)
class Served:
    """A model with the way its inferences run."""

    model: OnnxModel
    batcher: Batcher


class Repository:
    """Models by name.

    Args:
        names: Models that are to come: known, but not ready.
        pool: Threads in which models compute.
    """

    def __init__(self, names: Iterable[str], *, pool: ThreadPoolExecutor, metrics: Metrics) -> None:
        self._served: dict[str, Served | None] = dict.fromkeys(names)
        self._pool, self._metrics = pool, metrics

    @property
    def names(self) -> list[str]:
        return list(self._served)

    @property
    def ready(self) -> bool:
        """Whether every model that is known can answer."""
        return all(self._served.values())

    def serve(self, model: OnnxModel) -> None:
        """Answer with this model from now on."""
        self._served[model.name] = Served(model, Batcher(model, self._pool, self._metrics))
        self._metrics.loaded(model)

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
            raise UnknownModel(name, self.names) from None
        if served is None:
            raise ModelNotReady(name)
        if version is not None and version != served.model.version:
            raise UnknownVersion(name, version, served.model.version)
        return served

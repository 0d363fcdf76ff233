"""Loading of models in one process, in a thread, while other models serve."""

import asyncio
import threading
from typing import Any, Protocol

from stagewright.components.predictor import model_source
from stagewright.components.predictor.inference.model import Model, OnnxModel
from stagewright.components.predictor.inference.run_in_thread import run_in_thread
from stagewright.components.predictor.mlflow_backend import model as mlflow_model
from stagewright.components.predictor.models.repository import Repository
from stagewright.components.predictor.models.repository_backend import Location
from stagewright.components.predictor.settings import Settings
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, StagewrightError


class Member(Protocol):
    """A serving process: this process, or one at the other end of a channel."""

    async def expect(self, name: str) -> None:
        """Announce a model that will be loaded. It is known but not ready."""

    async def stage(self, location: Location) -> str | None:
        """Load and warm up a model without serving it; return its version."""

    async def commit(self, name: str, held: bool) -> None:
        """Serve the staged model. If `held`, it does not report ready until `release`."""

    async def release(self, name: str) -> None:
        """Report the model as ready."""

    async def discard(self, name: str) -> None:
        """Remove the staged model."""

    async def remove(self, name: str) -> None:
        """Stop serving a model."""


class Loader:
    """Member for the models of this process.

    Args:
        repository: Serves the loaded models.
        settings: Settings of the server.
    """

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository, self._settings = repository, settings

    async def expect(self, name: str) -> None:
        self._repository.expect(name)

    async def stage(self, location: Location) -> str | None:
        """Load and warm up a model in a thread, without serving it; return its version.

        Raises:
            InputError: If the model cannot be loaded or cannot compute a row.
            ServiceUnavailable: If the object store does not answer.
        """
        abandoned = threading.Event()

        def work() -> Model:
            model = self._load(location)
            if abandoned.is_set():
                model.close()
            return model

        seconds = self._settings.load_seconds
        try:
            model = await asyncio.wait_for(run_in_thread(work), seconds)
        except TimeoutError:
            raise InputError(
                f"the model at {location.uri} was not loaded within {seconds:g} seconds (--load-seconds)"
            ) from None
        finally:
            abandoned.set()
        self._repository.stage(model)
        return model.version

    async def commit(self, name: str, held: bool) -> None:
        self._repository.commit(name, held=held)

    async def release(self, name: str) -> None:
        self._repository.release(name)

    async def discard(self, name: str) -> None:
        self._repository.discard(name)

    async def remove(self, name: str) -> None:
        self._repository.remove(name)

    async def handle(self, what: str, details: dict[str, Any]) -> Any:
        """Handle a request of another process.

        Args:
            what: A method of Member.
            details: Its arguments.

        Raises:
            InputError: If there is no such method, or the model cannot be loaded.
            ServiceUnavailable: If the object store does not answer.
        """
        match what:
            case "stage":
                return await self.stage(Location.from_dict(details["location"]))
            case "commit":
                return await self.commit(details["name"], details["held"])
            case "expect" | "release" | "discard" | "remove":
                return await getattr(self, what)(details["name"])
        raise InputError(f"a worker does not know '{what}'")

    def _load(self, location: Location) -> Model:
        try:
            return load_model(location, self._settings)
        except StagewrightError:
            raise
        except Exception as error:
            logs.LOGGER.exception("load_failed", extra={"fields": {"model": location.name, "location": location.uri}})
            reason = f"{type(error).__name__} {error}".strip().splitlines()[0][:300]
            raise InputError(f"the model at {location.uri} cannot be loaded: {reason}") from error


def load_model(location: Location, settings: Settings) -> Model:
    """Load and warm up a model.

    Raises:
        InputError: If there is no model, or it cannot compute a row.
        ServiceUnavailable: If the object store does not answer.
    """
    files = model_source.read(location.uri)
    if mlflow_model.MLFLOW_BACKEND in files.extras:
        return mlflow_model.load_mlflow_model(files, location.name, version=location.version, threads=settings.threads)
    return OnnxModel.load(
        files, location.name, version=location.version, threads=settings.threads, overrides=settings.overrides
    )  # fmt: skip

"""Models of one process: read and built in a thread beside those that serve, and then put in their place."""

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
    """A process that serves: this one, or one at the other end of a channel."""

    async def expect(self, name: str) -> None:
        """Know a model that is to come, and say that it is not ready."""

    async def stage(self, location: Location) -> str | None:
        """Load a model beside the served one of its name and rehearse it; its version."""

    async def commit(self, name: str, held: bool) -> None:
        """Let the model that stands beside the served one take its place; if held, without saying that it is ready."""

    async def release(self, name: str) -> None:
        """Say that a model is ready."""

    async def discard(self, name: str) -> None:
        """Take away the model that stands beside the served one."""

    async def remove(self, name: str) -> None:
        """Serve a model no longer."""


class Loader:
    """The models of this process as a Member.

    Args:
        repository: Serves what is loaded here.
        settings: How models are loaded.
    """

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository, self._settings = repository, settings

    async def expect(self, name: str) -> None:
        self._repository.expect(name)

    async def stage(self, location: Location) -> str | None:
        """Load a model; everything that takes time happens in a thread.

        Raises:
            InputError: If the model cannot be loaded or cannot answer.
            ServiceUnavailable: If the store that holds it does not answer.
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
        """Do what another process asks."""
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
    """A model in memory, rehearsed.

    Raises:
        InputError: If there is none, or it cannot answer.
        ServiceUnavailable: If the store that holds it does not answer.
    """
    files = model_source.read(location.uri)
    if mlflow_model.MLFLOW_BACKEND in files.extras:
        return mlflow_model.load_mlflow_model(files, location.name, version=location.version, threads=settings.threads)
    return OnnxModel.load(
        files, location.name, version=location.version, threads=settings.threads, overrides=settings.overrides
    )  # fmt: skip

"""V2's model repository extension over HTTP: list, load and unload models.

Request bodies are Triton's. Responses to load and unload are those of KServe's server.
"""

import re
from typing import Any, Protocol

from stagewright.components.predictor.models.repository import Repository
from stagewright.components.predictor.wire.control import Refused
from stagewright.components.predictor.wire.errors import RepositoryClosed, RequestError, UnknownModel, shown
from stagewright.components.predictor.wire.messages import Answer, json_answer, json_object
from stagewright.components.predictor.wire.redaction import redacted
from stagewright.components.runtime.errors import ServiceUnavailable, StagewrightError

_VERSION = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._+]{0,127}")


class Operations(Protocol):
    """Operations on the models of a server."""

    async def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """All models that are served or can be loaded; only the served ones if `ready`."""

    async def load(self, name: str, version: str | None = None, *, stage: bool = False) -> str | None:
        """Serve a version of a model, by default the newest; return the version."""

    async def unload(self, name: str, *, staged: bool = False) -> None:
        """Stop serving a model."""


class RepositoryApi:
    """Handler of V2's model repository extension.

    Args:
        operations: Operations on the server's models.
        changes: Whether models may be loaded and unloaded. Otherwise only the index is available.
    """

    def __init__(self, operations: Operations, *, changes: bool = True) -> None:
        self.operations, self._changes = operations, changes

    async def handle(self, action: str, name: str, body: bytes) -> Answer:
        """Handle a request.

        Args:
            action: repository_index, repository_load or repository_unload.
            name: Name of the model; empty for the index.
            body: Request body, JSON or empty.

        Raises:
            RequestError: If the operation fails. The served models are unchanged.
        """
        try:
            return await self._answer(action, name, json_object(body) if body.strip() else {})
        except RequestError:
            raise
        except StagewrightError as error:
            raise Refused(
                redacted(str(error)), 503 if isinstance(error, ServiceUnavailable) else 400, error.exit_code
            ) from None

    async def _answer(self, action: str, name: str, document: dict[str, Any]) -> Answer:
        if action == "repository_index":
            return json_answer(await self.operations.index(ready=_flag(document, "ready")))
        if not self._changes:
            raise RepositoryClosed
        parameters = _parameters(document)
        if action == "repository_load":
            version, stage = _load_parameters(parameters)
            loaded = await self.operations.load(name, version, stage=stage)
            return json_answer({"name": name, "load": True, **({"version": loaded} if loaded else {})})
        _check_known(parameters, "unload", ("staged", "unload_dependents"))
        await self.operations.unload(name, staged=_flag(parameters, "staged"))
        return json_answer({"name": name, "unload": True})


class Fixed:
    """Operations on a fixed repository: models can be listed and unloaded, but not loaded."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """The index, as in V2's repository extension."""
        return self._repository.index(ready=ready)

    async def load(self, name: str, version: str | None = None, *, stage: bool = False) -> str | None:
        """Refuse to load a model.

        Raises:
            UnknownModel: Always.
        """
        raise UnknownModel(name)

    async def unload(self, name: str, *, staged: bool = False) -> None:
        """Stop serving a model.

        Raises:
            UnknownModel: If it is not served.
        """
        if name not in self._repository.names:
            raise UnknownModel(name)
        if staged:
            self._repository.discard(name)
        else:
            self._repository.remove(name)


def _load_parameters(parameters: dict[str, Any]) -> tuple[str | None, bool]:
    foreign = next((name for name in sorted(parameters) if name == "config" or name.startswith("file:")), None)
    if foreign is not None:
        raise RequestError(f"parameter {shown(foreign)} is not taken: a model is loaded as it stands in the repository")
    _check_known(parameters, "load", ("version", "stage"))
    version = parameters.get("version")
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise RequestError(f"parameter 'version' is {shown(version)}; expected a version of the model, such as 'v1.0.0'")
    return version, _flag(parameters, "stage")


def _check_known(parameters: dict[str, Any], action: str, known: tuple[str, ...]) -> None:
    foreign = next((name for name in sorted(parameters) if name not in known), None)
    if foreign is not None:
        raise RequestError(f"parameter {shown(foreign)} is not taken: {action} takes {' and '.join(known)}")


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise RequestError(f"'parameters' is {shown(parameters)}; expected an object")
    return parameters or {}


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"'{name}' is {shown(value)}; expected true or false")
    return value

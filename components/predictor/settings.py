"""How to serve, once the command line and the environment are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stagewright.components.predictor.payload.settings import PayloadSettings
from stagewright.components.predictor.wire.limits import Limits

LOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve: what the command line and the environment said.

    Attributes:
        models: Names and places of the models given one by one; a name that is None is the manifest's.
        version: Of a model that was given alone; None takes the manifest's.
        repository: A folder or `s3://` that holds further models.
        repository_api: Whether requests may load and unload models.
        watch: Seconds between looks for new versions; None never looks.
        load_seconds: Longest time in which a model must be loaded.
        threads: Of ONNX Runtime, in each worker, where neither the model's settings nor `overrides` say anything.
        payload: How predictions are logged; None logs nothing.
        overrides: Fields of ServingSettings that the command line says and a model's own settings do not replace.
        grpc_port: None answers HTTP alone.
        allow_hosts: Names besides its own under which the server is asked; "*" is any.
        allow_origins: Origins of web pages that may ask this server to change something.
        arguments: What these settings were made from; a worker makes its own from them.
    """

    models: tuple[tuple[str | None, str], ...]
    version: str | None
    repository: str | None
    repository_api: bool
    watch: float | None
    host: str
    port: int
    workers: int
    threads: int
    limits: Limits
    load_seconds: float = LOAD_SECONDS
    grpc_port: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    payload: PayloadSettings | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

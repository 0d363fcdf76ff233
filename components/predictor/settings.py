"""Settings of the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stagewright.components.predictor.payload.settings import PayloadSettings
from stagewright.components.predictor.wire.limits import Limits

LOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from the command line and the environment.

    Attributes:
        models: Names and locations of the models of the command line; None means the manifest's name.
        version: Version of a single model; None means the manifest's.
        repository: Folder or `s3://` URI of the model repository.
        repository_api: Whether requests may load and unload models.
        watch: Seconds between checks for new versions; None never checks.
        load_seconds: Longest time to load a model.
        threads: Default of ONNX Runtime's threads in each worker; the model's settings and `overrides` take precedence.
        payload: Settings of the payload log; None disables it.
        overrides: Fields of ServingSettings that take precedence over the model's own settings.
        grpc_port: Port of gRPC; None serves HTTP only.
        allow_hosts: Further host names of the server; "*" allows all.
        allow_origins: Origins of web pages that may change models.
        arguments: The command line, which is passed to the workers.
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

"""Optional gRPC: the packages are imported only if the settings have a port for it."""

import socket
from dataclasses import replace
from types import ModuleType

from stagewright.components.predictor.settings import Settings
from stagewright.components.predictor.wire.asgi import Application
from stagewright.components.runtime.errors import InputError


def reserve(settings: Settings) -> tuple[Settings, socket.socket | None]:
    """Reserve the gRPC port. Returns the settings with the port, and the socket that reserves it while it is open.

    Raises:
        InputError: If the port is in use or a package is not installed.
        BadParameter: If the port cannot be opened.
    """
    if settings.grpc_port is None:
        return settings, None
    held: socket.socket = _server().reserve(settings.host, settings.grpc_port)
    return replace(settings, grpc_port=held.getsockname()[1]), held


def with_grpc(settings: Settings, application: Application) -> Application:
    """The application, with gRPC if the settings have a port for it.

    Raises:
        InputError: If a package is not installed."""
    if settings.grpc_port is None:
        return application
    both: Application = _server().WithGrpc(
        application,
        settings.host,
        settings.grpc_port,
        message_bytes=settings.limits.body_bytes,
        limits=settings.limits.connections,
    )
    return both


def _server() -> ModuleType:
    try:
        from stagewright.components.predictor.grpc import server
    except ModuleNotFoundError as error:
        raise InputError(
            f"--grpc-port needs the package {'grpcio' if error.name == 'grpc' else 'protobuf'}, which is not installed; "
            "install it or leave the option out"
        ) from None
    return server

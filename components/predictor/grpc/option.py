"""gRPC where it is asked for: what the server calls, without importing the packages before they are needed."""

import socket
from dataclasses import replace
from types import ModuleType

from stagewright.components.predictor.settings import Settings
from stagewright.components.predictor.wire.asgi import Application
from stagewright.components.runtime.errors import InputError


def reserve(settings: Settings) -> tuple[Settings, socket.socket | None]:
    """The settings with the gRPC port that was taken, and the socket that keeps it as long as it lives.

    Raises:
        InputError: If the port cannot be taken or the package is not installed.
    """
    if settings.grpc_port is None:
        return settings, None
    held: socket.socket = _server().reserve(settings.host, settings.grpc_port)
    return replace(settings, grpc_port=held.getsockname()[1]), held


def with_grpc(settings: Settings, application: Application) -> Application:
    """The application, answering gRPC calls too if that is wanted."""
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

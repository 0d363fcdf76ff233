"""Parts of every serving process: the listening socket, the application and its HTTP server."""

import errno
import gc
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import uvicorn

from stagewright.components.predictor.grpc import option as grpc_option
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.http.browsers import Guard
from stagewright.components.predictor.http.graceful import GracefulServer
from stagewright.components.predictor.http.uvicorn_protocol import Protocol
from stagewright.components.predictor.settings import Settings
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire import asgi
from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.errors import BadParameter, InputError

BACKLOG = 2048
ACCEPTED_AT_ONCE = 32  # new connections between two checks of the connection limit
GRACE_SECONDS = 25  # below Kubernetes' grace period of 30 seconds
END_SECONDS = 3  # for the work after the last response
GARBAGE_OBJECTS = 10_000  # threshold of the garbage collector; requests create no reference cycles


def bind(host: str, port: int) -> socket.socket:
    """Open a socket that listens on this address.

    Raises:
        InputError: If the port is in use or needs privileges.
        BadParameter: If the address is not one of this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on, connections are queued and not refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is taken on {host}; end what listens there or choose another with --port") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} needs rights that this process does not have; choose one above 1023") from None
        raise BadParameter("host", got=host, expected=f"an address of this machine ({error.strerror})") from None
    return listener


def make_application(settings: Settings, metrics: Metrics | None = None) -> Application:
    """The application, without models."""
    guard = Guard.listening(settings.host, settings.allow_hosts, settings.allow_origins)
    return Application(
        limits=settings.limits, workers=max(2, available_cpus()), metrics=metrics, payload=settings.payload, guard=guard
    )  # fmt: skip


def make_server(settings: Settings, application: Application, *, before: Callable[[], Awaitable[None]]) -> GracefulServer:
    """The HTTP server, with gRPC if the settings have a port for it.

    Args:
        before: Awaited before the first connection is accepted.
    """
    gc.freeze()  # the garbage collector need not scan what was loaded until here
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)
    serving: asgi.Application = grpc_option.with_grpc(settings, application)
    configuration = uvicorn.Config(
        serving,  # type: ignore[arg-type]
        http=partial(Protocol, limits=settings.limits.connections),  # type: ignore[arg-type]
        lifespan="on", ws="none", interface="asgi3",
        access_log=False, log_level="error", log_config=None, server_header=False, date_header=False, proxy_headers=False,
        backlog=ACCEPTED_AT_ONCE, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    return GracefulServer(configuration, backlog=BACKLOG, before=before, tick=application.models.count_waiting)

"""What every process that serves is made of: the application, the HTTP server around it, and how long each may take."""

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
ACCEPTED_AT_ONCE = 32  # connections, before those that are too many make room
GRACE_SECONDS = 25  # below Kubernetes' 30, after which the process would be killed
END_SECONDS = 3  # for what follows the last answer
GARBAGE_OBJECTS = 10_000  # allocated between two looks for cycles, which requests do not make


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on this address.

    Raises:
        InputError: If the port is taken or the address is not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on a request waits for its answer instead of being refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is taken on {host}; end what listens there or choose another with --port") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} needs rights that this process does not have; choose one above 1023") from None
        raise BadParameter("host", got=host, expected=f"an address of this machine ({error.strerror})") from None
    return listener


def make_application(settings: Settings, metrics: Metrics | None = None) -> Application:
    """An application without a model yet."""
    guard = Guard.listening(settings.host, settings.allow_hosts, settings.allow_origins)
    return Application(
        limits=settings.limits, workers=max(2, available_cpus()), metrics=metrics, payload=settings.payload, guard=guard
    )  # fmt: skip


def make_server(settings: Settings, application: Application, *, before: Callable[[], Awaitable[None]]) -> GracefulServer:
    """The HTTP server, and gRPC beside it if that is wanted.

    Args:
        before: Awaited before the first connection is accepted.
    """
    gc.freeze()  # what was loaded until here stays for good, and need not be looked through again
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

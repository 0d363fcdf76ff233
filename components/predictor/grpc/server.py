"""gRPC server on the event loop of the ASGI application; it starts and stops with the application."""

import socket

import grpc

from stagewright.components.predictor.grpc.service import Service
from stagewright.components.predictor.wire.asgi import Application, Message, Receive, Scope, Send
from stagewright.components.predictor.wire.limits import ConnectionLimits
from stagewright.components.runtime.errors import BadParameter, InputError

GRACE_SECONDS = 5.0  # after HTTP's own grace period; running calls are then cancelled
ROOM = 64 * 1024  # bytes of a message in addition to its tensors
AGES = 10  # longest lifetime of a connection, in body timeouts; clients reconnect automatically


def reserve(host: str, port: int) -> socket.socket:
    """Bind a socket that reserves a port for the workers of this process. All of them listen on it.

    Args:
        host: Address to bind.
        port: Port; 0 takes a free one.

    Raises:
        InputError: If the port is in use.
        BadParameter: If the port cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:  # without SO_REUSEPORT, so that a port of another server is an error
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        held = socket.socket(family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        if error.strerror == "Address already in use":
            raise InputError(
                f"port {port} is taken on {host}; end what listens there or choose another with --grpc-port"
            ) from None
        raise BadParameter(
            "grpc-port", got=port, expected=f"a port of {host} that this process may open ({error.strerror})"
        ) from None
    return held


class WithGrpc:
    """An ASGI application with a gRPC server, from its startup to its shutdown.

    Args:
        application: Handles HTTP requests and gRPC calls.
        host: Address to listen on.
        port: Port that this process or its parent has reserved.
        message_bytes: Most bytes of a request's tensors.
        limits: Timeouts, and the number of connections.
    """

    def __init__(self, application: Application, host: str, port: int, *, message_bytes: int, limits: ConnectionLimits) -> None:
        self._application = application
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._options = (
            ("grpc.max_receive_message_length", message_bytes + ROOM),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 1),
            ("grpc.server_handshake_timeout_ms", _milliseconds(limits.head_seconds)),
            ("grpc.max_connection_idle_ms", _milliseconds(limits.idle_seconds)),
            # A call that never sends its message has no timeout of its own; the connection's age limit ends it.
            ("grpc.max_connection_age_ms", _milliseconds(AGES * limits.body_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(limits.body_seconds)),
            ("grpc.keepalive_time_ms", _milliseconds(limits.idle_seconds)),
            ("grpc.keepalive_timeout_ms", _milliseconds(limits.head_seconds)),
            ("grpc.max_allowed_incoming_connections", max(1, limits.most // 2)),
        )
        self._server: grpc.aio.Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def receive_and_act() -> Message:
            message = await receive()
            await (self._start() if message["type"] == "lifespan.startup" else self._stop())
            return message

        await self._application(scope, receive_and_act, send)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=self._options)
        self._server.add_generic_rpc_handlers((Service(self._application).handlers(),))
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)


def _milliseconds(seconds: float) -> int:
    return max(1, min(2**31 - 1, int(seconds * 1000)))

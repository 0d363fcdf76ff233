"""Graceful shutdown: accept established connections, answer their requests, and close idle connections.

uvicorn drops connections in the accept queue. It also closes idle keep-alive connections although a request may be on its way.
Clients see both as a reset. This server closes the listening socket when the accept queue is empty. From then on every response
has `connection: close`. A connection is closed after its response, or after a short idle time.
"""

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvicorn

LINGER_SECONDS = 0.5  # idle time before a connection is closed: many round trips of a local network
TICK_SECONDS = 0.01


class GracefulServer(uvicorn.Server):
    """A uvicorn server that shuts down without losing a request.

    Args:
        config: uvicorn's configuration. Its backlog is the number of connections that are accepted at once.
        backlog: Length of the accept queue.
        before: Awaited before the first connection is accepted.
        tick: Called several times a second.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        backlog: int,
        before: Callable[[], Awaitable[None]],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._backlog, self._before, self._tick = backlog, before, tick
        self.ending: Callable[[], None] = lambda: None  # called at the start of the shutdown

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._before()
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(self._backlog)  # startup has set the configuration's shorter backlog

    async def on_tick(self, counter: int) -> bool:
        self._tick()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.ending()
        await self._accept_waiting(sockets or [])
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in list(state.connections):
            if _busy(connection):
                connection.shutdown()  # adds `connection: close` to its response
        began = time.monotonic()
        await self._let_speak()
        grace = self.config.timeout_graceful_shutdown
        if grace is not None:
            self.config.timeout_graceful_shutdown = max(1, round(grace - (time.monotonic() - began)))
        await super().shutdown(sockets)

    async def _accept_waiting(self, listeners: Sequence[socket.socket]) -> None:
        """Accept until the queue is empty, then stop listening at once."""
        while _readable(*(listener.fileno() for listener in listeners)):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()
        for _ in range(3):  # the last accepted sockets become connections in the next iterations
            await asyncio.sleep(0)

    async def _let_speak(self) -> None:
        """Wait until every connection is closed or has been idle for a while."""
        now = time.monotonic()
        silent, latest = now + LINGER_SECONDS, now + (self.config.timeout_graceful_shutdown or 0)
        while (connections := list(self.server_state.connections)) and (now := time.monotonic()) < latest:
            if now >= silent and not any(_busy(connection) or _speaking(connection) for connection in connections):
                return
            await asyncio.sleep(TICK_SECONDS)


def _busy(connection: Any) -> bool:
    """Whether a request of this connection is in progress."""
    return connection.cycle is not None and not connection.cycle.response_complete


def _speaking(connection: Any) -> bool:
    """Whether a request has begun to arrive: its first line, or unread bytes."""
    begun = connection.scope is not None and (connection.cycle is None or connection.cycle.scope is not connection.scope)
    own = connection.transport.get_extra_info("socket")
    return begun or (own is not None and own.fileno() >= 0 and _readable(own.fileno()))


def _readable(*descriptors: int) -> bool:
    """Whether one of these sockets has unread data. `select` would fail for descriptors above 1023."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))

"""The end of a server: accept what has already connected, answer what has been sent, and close what is idle.

uvicorn by itself drops connections that wait to be accepted, and closes a kept-alive connection that seems idle although its
next request may already be on the way; a client sees both as a reset. Here the listening socket closes once its queue is empty.
From then on every answer says `connection: close`; a connection is closed when its answer is sent, or when it was silent for a
while.
"""

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvicorn

LINGER_SECONDS = 0.5  # how long an idle connection may still send: many times a local network's way back and forth
TICK_SECONDS = 0.01


class GracefulServer(uvicorn.Server):
    """A uvicorn server that ends without losing a request.

    Args:
        backlog: Connections that may wait to be accepted; the configuration says how many are accepted at once.
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
        self.ending: Callable[[], None] = lambda: None  # called when the server begins to end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._before()
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(self._backlog)  # which listening with the configuration's has made shorter

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
                connection.shutdown()  # which makes its answer say that it is the last
        began = time.monotonic()
        await self._let_speak()
        grace = self.config.timeout_graceful_shutdown
        if grace is not None:
            self.config.timeout_graceful_shutdown = max(1, round(grace - (time.monotonic() - began)))
        await super().shutdown(sockets)

    async def _accept_waiting(self, listeners: Sequence[socket.socket]) -> None:
        """Accept until the queue is empty, and stop listening in the same moment."""
        while _readable(*(listener.fileno() for listener in listeners)):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()
        for _ in range(3):  # what was accepted last becomes a connection in the loop's next rounds
            await asyncio.sleep(0)

    async def _let_speak(self) -> None:
        """Wait until every connection is closed or has been silent for a while."""
        now = time.monotonic()
        silent, latest = now + LINGER_SECONDS, now + (self.config.timeout_graceful_shutdown or 0)
        while (connections := list(self.server_state.connections)) and (now := time.monotonic()) < latest:
            if now >= silent and not any(_busy(connection) or _speaking(connection) for connection in connections):
                return
            await asyncio.sleep(TICK_SECONDS)


def _busy(connection: Any) -> bool:
    """Whether a request of this connection waits for its answer."""
    return connection.cycle is not None and not connection.cycle.response_complete


def _speaking(connection: Any) -> bool:
    """Whether a request has begun to arrive: its first line is there, or bytes that nobody has read yet."""
    begun = connection.scope is not None and (connection.cycle is None or connection.cycle.scope is not connection.scope)
    own = connection.transport.get_extra_info("socket")
    return begun or (own is not None and own.fileno() >= 0 and _readable(own.fileno()))


def _readable(*descriptors: int) -> bool:
    """Whether something waits in one of these sockets; `select` itself would know no descriptor above 1023."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))

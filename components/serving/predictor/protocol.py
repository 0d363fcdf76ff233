"""uvicorn's HTTP protocol with one write for each answer.

uvicorn writes an answer's head and its body one after the other, and each write is a system call and a TCP segment of its own,
which for a small answer costs more than everything else about it. Here the head waits for the body.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024  # what may come without being a body; what arrives at once may be a little more


class JoinedWrites:
    """A transport that keeps an answer's head until its body is written, or until the event loop comes round."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)  # an answer to HEAD has no body
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class Protocol(HttpToolsProtocol):
    """What uvicorn makes for every connection.

    A head, a trailer or a chunk's extension without an end would be kept, and read again with every piece that arrives: nothing
    else of a request is limited by uvicorn, and bodies are by the application.
    """

    _vain = 0  # bytes since a request began that were not of its body

    def data_received(self, data: bytes) -> None:
        self._vain += len(data)
        super().data_received(data)
        if self._vain > HEAD_BYTES and not self._complete():
            self._vain = 0
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        self._vain = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._vain = 0
        super().on_body(body)

    def _complete(self) -> bool:
        """Whether the last request was received, or answered already."""
        cycle = self.cycle
        return cycle is not None and cycle.scope is self.scope and (not cycle.more_body or cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]

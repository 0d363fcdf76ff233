"""A transport with one write for each answer, which does not wait for good for a client that reads no answer.

uvicorn writes an answer's head and its body one after the other, and each write is a system call and a TCP segment of its own,
which for a small answer costs more than everything else about it. Here the head waits for the body.
"""

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that keeps an answer's head until its body is written, or until the event loop comes round.

    Args:
        patience: Seconds after its end in which the client may read what was written.
    """

    def __init__(self, transport: asyncio.Transport, patience: float) -> None:
        self._transport, self._head, self._patience = transport, b"", patience
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

    def write_eof(self) -> None:
        """Say that nothing more will be written; what the client still sends may be read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            self._loop.call_later(self._patience, self._transport.abort)
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

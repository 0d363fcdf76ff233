"""A transport that sends each response in one write, and limits the wait for clients that do not read.

uvicorn writes a response's head and body separately. Each write is a system call and a TCP segment, which is most of the cost
of a small response. This transport holds the head back until the body is written.
"""

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that holds a response's head back until its body is written, or until the next iteration of the event loop.

    Args:
        read_timeout: Seconds after closing in which the client may read the response.
    """

    def __init__(self, transport: asyncio.Transport, read_timeout: float) -> None:
        self._transport, self._head, self._read_timeout = transport, b"", read_timeout
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)  # a response to HEAD has no body
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Close the writing side. Data of the client can still be read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            self._loop.call_later(self._read_timeout, self._transport.abort)
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

"""uvicorn's HTTP protocol with limits: size of heads, timeouts for each part of a request, and ordered responses.

An invalid request is answered after all earlier requests of its connection. Then the connection closes, after a delay in which
the client reads the response. On an immediate close, data that the client still sends would discard the unread response.
"""

import asyncio
from asyncio.events import TimerHandle
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stagewright.components.predictor.http.connections import make_room
from stagewright.components.predictor.http.joined_writes import JoinedWrites
from stagewright.components.predictor.wire.errors import shown
from stagewright.components.predictor.wire.limits import ConnectionLimits
from stagewright.components.predictor.wire.messages import json_bytes

HEAD_BYTES = 64 * 1024  # request line and headers, including the final empty line
LINGER_SECONDS, LINGER_BYTES = 1.0, 256 * 1024  # time and bytes for a refused client that is still sending

_TOO_LARGE = f"the request's head is larger than {HEAD_BYTES} bytes, the most that this server takes"
_LONG_FRAME = f"a chunk's extension or the trailer is larger than {HEAD_BYTES} bytes, the most that this server takes"


class _Stop(Exception):
    """Stops the parser of a refused connection."""


class Protocol(HttpToolsProtocol):
    """Protocol of one connection.

    Args:
        limits: Timeouts, and the number of connections.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = limits or ConnectionLimits()
        self.timeout_keep_alive = self.limits.idle_seconds  # type: ignore[assignment]
        self._in_head, self._begun = True, False
        self._head = 0  # bytes received of the current head
        self._heads = 0  # number of complete heads
        self._unsure = False  # whether the start of the head is not known exactly
        self._vain = 0  # bytes received since the last head or body data, such as chunk extensions
        self._owed = 0  # requests without a response
        self._refusal: bytes | None = None
        self._spent = 0  # discarded bytes
        self._slow: TimerHandle | None = None  # timer for a head or a body
        self._watched = ""
        self._unread: TimerHandle | None = None  # timer for a client that does not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport, self.limits.idle_seconds))  # type: ignore[arg-type]
        self._wait_for_request()
        make_room(self.connections, self, self.limits.most)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch("")
        self._unset_keepalive_if_required()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self.transport.is_closing():
            self._discard(data)
            return
        self._unset_keepalive_if_required()
        if self._in_head:
            self._unsure = len(data) > HEAD_BYTES or (self._unsure and self._begun)
            room, heads = HEAD_BYTES - self._head, self._heads
            begun, data = data[:room], data[room:]
            self._head += len(begun)
            self._feed(begun)
            if data and self._heads == heads:
                self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        if data and self._refusal is None and not self.transport.is_closing():
            self._vain += len(data)
            self._feed(data)
        if not self._in_head and self._vain > HEAD_BYTES:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _LONG_FRAME)
        if self._refusal is None:
            self._watch_what_arrives()

    def on_message_begin(self) -> None:
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._check_head()
        self._owed += 1
        super().on_headers_complete()
        self._heads += 1
        self._in_head, self._unsure, self._head, self._vain = False, False, 0, 0

    def on_body(self, body: bytes) -> None:
        self._vain = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._begun, self._unsure = True, False, True  # the rest of the data is the next head

    def on_response_complete(self) -> None:
        self._owed -= 1
        super().on_response_complete()
        if self._refusal is not None and not self._owed:
            self._send_refusal()
        elif not self._in_head:  # the response came before the end of the body, which keeps its own timeout
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        self.refuse(HTTPStatus.BAD_REQUEST, msg)

    def refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Answer the arriving request with an error, after the responses to earlier requests, and close the connection.

        Args:
            status: HTTP status of the error.
            sentence: Error sentence."""
        if self._refusal is not None:
            return
        self._watch("")
        self._refusal = _refusal(status, sentence)
        if not self._in_head:
            self._abandon_arriving()
        if not self._owed:
            self._send_refusal()

    def waiting_since(self) -> tuple[int, float] | None:
        """Sort key for `make_room`. Only a connection with a complete request must stay open."""
        if self.transport.is_closing():
            return None
        if self._slow is not None and self._owed <= (not self._in_head):
            seconds = self.limits.head_seconds if self._in_head else self.limits.body_seconds
            return int(not self._in_head), self._slow.when() - seconds
        if self.timeout_keep_alive_task is not None:
            return 0, self.timeout_keep_alive_task.when() - self.limits.idle_seconds
        return None

    def give_up(self) -> None:
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _feed(self, data: bytes) -> None:
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    data = b""
                except httptools.HttpParserUpgrade as upgrade:  # upgrades are ignored; HTTP continues after the head
                    self.parser = httptools.HttpRequestParser(self)
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            self.refuse(HTTPStatus.BAD_REQUEST, "the request is malformed: its first line names no path")
        except httptools.HttpParserError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, f"the request is malformed: {error}")

    def _check_head(self) -> None:
        """Refuse a head that is too large, or that defines its body's length in an ambiguous way.

        Raises:
            _Stop: If it was refused.
        """
        if self._unsure and self._usual_size() > HEAD_BYTES:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
            raise _Stop
        hosts = 0
        for name, value in self.headers:
            if name == b"transfer-encoding" and (
                value.lower().strip() != b"chunked" or self.parser.get_http_version() != "1.1"
            ):
                coding = shown(value.decode("latin-1"))
                self.refuse(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"Transfer-Encoding {coding} is not supported; send the body as it is, or in HTTP/1.1 as 'chunked'",
                )
                raise _Stop
            hosts += name == b"host"
        if hosts > 1:
            self.refuse(HTTPStatus.BAD_REQUEST, "the request has more than one Host header; send one")
            raise _Stop

    def _usual_size(self) -> int:
        """Size of the head in bytes in the usual form, with one blank after each colon."""
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + len("\r\n")

    def _watch_what_arrives(self) -> None:
        """Start the timeout of the part of the request that is arriving."""
        if not self._in_head:
            self._watch("body")
        elif self._begun or self._head:
            self._watch("head")
        else:
            self._watch("")
            if not self._owed and self.timeout_keep_alive_task is None:
                self._wait_for_request()

    def _watch(self, what: str) -> None:
        if what == self._watched:
            return
        self._watched = what
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        if what:
            seconds = self.limits.head_seconds if what == "head" else self.limits.body_seconds
            self._slow = self.loop.call_later(seconds, self._too_slow, what, seconds)

    def _too_slow(self, what: str, seconds: float) -> None:
        if self._owed > (not self._in_head):  # reading was paused by earlier requests, so the client is not slow
            self._slow = self.loop.call_later(seconds, self._too_slow, what, seconds)
            return
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's {what} did not arrive within {seconds:g} seconds")

    def _wait_for_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.limits.idle_seconds, self.timeout_keep_alive_handler)

    def _abandon_arriving(self) -> None:
        """Make the refusal the response of the request whose body is arriving, unless its response has begun."""
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = b""
            return
        self._owed -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        cycle.disconnected = True  # wakes the reader of the body, which then sees a disconnect
        cycle.message_event.set()

    def _send_refusal(self) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._refusal:
            self.transport.write(self._refusal)
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _discard(self, data: bytes) -> None:
        self._spent += len(data)
        if self._spent > LINGER_BYTES and not self._owed:
            self.transport.close()


def _refusal(status: HTTPStatus, sentence: str) -> bytes:
    body = json_bytes({"error": sentence})
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body

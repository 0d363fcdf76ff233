"""uvicorn's HTTP protocol, stricter: heads have a size, every part of a request has a time, and answers keep their order.

What is wrong with a request is answered after everything that was asked before it, and then the connection ends, slowly enough
that the client reads the answer: closed at once, what it still sends would make the system discard what it has not read yet.
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

HEAD_BYTES = 64 * 1024  # a request's line and headers, to the empty line that ends them
LINGER_SECONDS, LINGER_BYTES = 1.0, 256 * 1024  # of a client that is refused and still sends

_TOO_LARGE = f"the request's head is larger than {HEAD_BYTES} bytes, the most that this server takes"
_LONG_FRAME = f"a chunk's extension or the trailer is larger than {HEAD_BYTES} bytes, the most that this server takes"


class _Stop(Exception):
    """Nothing more of this connection is parsed."""


class Protocol(HttpToolsProtocol):
    """What uvicorn makes for every connection.

    Args:
        limits: How long what may take, and how many connections there may be.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = limits or ConnectionLimits()
        self.timeout_keep_alive = self.limits.idle_seconds  # type: ignore[assignment]
        self._in_head, self._begun = True, False
        self._head = 0  # bytes of the head that is arriving
        self._heads = 0  # that have arrived
        self._unsure = False  # whether where the head began is not known to the byte
        self._vain = 0  # bytes since the head, or since a piece of the body, that were neither
        self._owed = 0  # requests whose answers are to come
        self._refusal: bytes | None = None
        self._spent = 0  # bytes that were thrown away
        self._slow: TimerHandle | None = None  # ends what does not arrive in time
        self._watched = ""
        self._unread: TimerHandle | None = None  # ends what is not read in time

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
            self._throw_away(data)
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
        self._in_head, self._begun, self._unsure = True, False, True  # what follows in the same piece is the next head

    def on_response_complete(self) -> None:
        self._owed -= 1
        super().on_response_complete()
        if self._refusal is not None and not self._owed:
            self._say_refusal()
        elif not self._in_head:  # answered before its body was there, which still has its time
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        self.refuse(HTTPStatus.BAD_REQUEST, msg)

    def refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Answer what arrives, after the answers to what came before it, and end the connection."""
        if self._refusal is not None:
            return
        self._watch("")
        self._refusal = _refusal(status, sentence)
        if not self._in_head:
            self._forget_arriving()
        if not self._owed:
            self._say_refusal()

    def waiting_since(self) -> tuple[int, float] | None:
        """For `make_room`: nothing but a request that is there completely is worth keeping."""
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
                except httptools.HttpParserUpgrade as upgrade:  # nobody here speaks anything else: HTTP goes on behind it
                    self.parser = httptools.HttpRequestParser(self)
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            self.refuse(HTTPStatus.BAD_REQUEST, "the request is malformed: its first line names no path")
        except httptools.HttpParserError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, f"the request is malformed: {error}")

    def _check_head(self) -> None:
        """Refuse a head that is too large, or says in several ways where its body ends.

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
        """Bytes that the head has as it is usually written, with one blank behind each colon."""
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + len("\r\n")

    def _watch_what_arrives(self) -> None:
        """Give what has begun to arrive its time."""
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
        if self._owed > (not self._in_head):  # nothing was read while others were answered: not the client's fault
            self._slow = self.loop.call_later(seconds, self._too_slow, what, seconds)
            return
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's {what} did not arrive within {seconds:g} seconds")

    def _wait_for_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.limits.idle_seconds, self.timeout_keep_alive_handler)

    def _forget_arriving(self) -> None:
        """The request whose body is arriving gets the refusal as its answer, if it has none yet."""
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = b""
            return
        self._owed -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        cycle.disconnected = True  # whoever waits for the body hears that there will be none
        cycle.message_event.set()

    def _say_refusal(self) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._refusal:
            self.transport.write(self._refusal)
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _throw_away(self, data: bytes) -> None:
        self._spent += len(data)
        if self._spent > LINGER_BYTES and not self._owed:
            self.transport.close()


def _refusal(status: HTTPStatus, sentence: str) -> bytes:
    body = json_bytes({"error": sentence})
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body

"""ASGI types, reading of request bodies within limits, and sending of responses."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping
from typing import Any

from stagewright.components.predictor.wire.errors import (
    Disconnected,
    MemoryBudgetExceeded,
    RequestError,
    TooLarge,
    UnsupportedEncoding,
)
from stagewright.components.predictor.wire.messages import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN_FACTOR = 4  # a body above the limit is drained up to this many times the limit, so that the client reads the response
SMALL_BODY = 64 * 1024  # bytes
HEADER_LENGTH = b"inference-header-content-length"
REQUEST_ID = b"x-request-id"
TIMEOUTS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")  # our own, and the header of Envoy and Istio

EVENT = (b"content-type", b"ce-specversion", b"ce-id", b"ce-source", b"ce-type")  # of CloudEvents

_KNOWN = frozenset((b"content-encoding", b"content-length", HEADER_LENGTH, REQUEST_ID, *TIMEOUTS, *EVENT))


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    return next((value for key, value in headers if key == name), None)


def known_headers(headers: Headers) -> dict[bytes, bytes]:
    """The headers that the server uses, by lower-case name. Repeated headers are joined with commas."""
    known: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _KNOWN:
            known[name] = known[name] + b", " + value if name in known else value
    return known


def timeout_seconds(headers: Mapping[bytes, bytes], default: float | None) -> float | None:
    """The request's timeout in seconds; None means no timeout.

    Raises:
        RequestError: If a timeout header is not a positive number of milliseconds.
    """
    for name in TIMEOUTS:
        given = headers.get(name)
        if given is not None:
            if not given.isdigit() or len(given) > 12 or int(given) == 0:
                raise RequestError(f"{name.decode()} is {given[:40].decode('latin-1')!r}; expected milliseconds above 0")
            return int(given) / 1000
    return default


class MemoryBudget:
    """Limits the total bytes of large request bodies in memory. Small bodies are bounded by the queue's length.

    Attributes:
        limit: Most bytes.
        held: Bytes in memory now."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def reserve(self, size: int, own: int = 0) -> None:
        """Reserve memory for `size` more bytes.

        Args:
            own: Bytes that the same body holds already. A body that is alone in memory is never refused.

        Raises:
            MemoryBudgetExceeded: If other bodies leave too little of the budget.
        """
        if self.held + size > self.limit and self.held > own:
            raise MemoryBudgetExceeded
        self.held += size

    def release(self, size: int) -> None:
        """Release the memory of a body of `size` bytes."""
        if size > SMALL_BODY:
            self.held -= size


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int, memory: MemoryBudget) -> bytes:
    """Read a request's body. A large body reserves `memory` as it arrives; the caller must release it.

    Bytes that are announced but do not arrive reserve nothing.

    Args:
        headers: Result of `known_headers`.
        limit: Largest body in bytes.

    Raises:
        TooLarge: If the body is above the limit. The server never keeps more than the limit.
        MemoryBudgetExceeded: If other bodies leave too little of the budget.
        UnsupportedEncoding: If the body is compressed.
        Disconnected: If the client disconnected.
    """
    encoding = headers.get(b"content-encoding")
    if encoding and any(coding.strip().lower() not in (b"identity", b"") for coding in encoding.split(b",")):
        raise UnsupportedEncoding(encoding.decode("latin-1"))
    announced = headers.get(b"content-length", b"")
    length = int(announced[:18]) if announced.isdigit() else 0
    if length > limit * DRAIN_FACTOR:
        _check_size(length, limit)
    chunk, more = _chunk(await receive())
    if not more and len(chunk) <= SMALL_BODY and len(chunk) <= limit:
        return chunk
    chunks, size, held = [chunk], len(chunk), 0
    try:
        while True:
            if SMALL_BODY < size <= limit:
                memory.reserve(size - held, held)
                held = size
            if not more or size > limit * DRAIN_FACTOR:
                break
            chunk, more = _chunk(await receive())
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
            else:
                chunks.clear()
        _check_size(size, limit)
    except BaseException:
        memory.held -= held
        raise
    return b"".join(chunks)


def _chunk(message: Message) -> tuple[bytes, bool]:
    """A chunk of a body, and whether more chunks follow."""
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"the body is larger than {limit} bytes, the most that this server takes")


def has_disconnected(receive: Receive) -> bool:
    """Whether the client of a completely read request has disconnected. Does not block."""
    asking = receive()
    if not isinstance(asking, Coroutine):
        return False
    try:
        asking.send(None)  # ends at once if the client has disconnected; otherwise it would block, and is closed
    except StopIteration as answered:
        return bool(answered.value["type"] == "http.disconnect")
    asking.close()
    return False


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a complete response."""
    headers = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def error_headers(error: RequestError) -> tuple[tuple[bytes, bytes], ...]:
    """Response headers that belong to an error's status."""
    if error.status == 413:  # the rest of the body may still be on its way
        return ((b"connection", b"close"),)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return ((b"retry-after", b"%d" % retry_after),)
    allowed = getattr(error, "allowed", None)
    return ((b"allow", allowed.replace(" or ", ", ").encode()),) if allowed else ()

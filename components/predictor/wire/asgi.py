"""The little of ASGI that this server needs: its types, reading a body within limits, sending an answer."""

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

DRAIN_FACTOR = (
    4  # a body that is too large is read to its end up to this many times the limit, so that the client sees our answer
)
SMALL_BODY = 64 * 1024  # bytes
HEADER_LENGTH = b"inference-header-content-length"
REQUEST_ID = b"x-request-id"
TIMEOUTS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")  # ours, and what Envoy and Istio tell those behind them

EVENT = (b"content-type", b"ce-specversion", b"ce-id", b"ce-source", b"ce-type")  # of CloudEvents

_KNOWN = frozenset((b"content-encoding", b"content-length", HEADER_LENGTH, REQUEST_ID, *TIMEOUTS, *EVENT))


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    return next((value for key, value in headers if key == name), None)


def known_headers(headers: Headers) -> dict[bytes, bytes]:
    """The headers of a prediction that mean something here, by lower-case name; of several of a name, all with commas."""
    known: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _KNOWN:
            known[name] = known[name] + b", " + value if name in known else value
    return known


def timeout_seconds(headers: Mapping[bytes, bytes], default: float | None) -> float | None:
    """How long the client waits for its answer; None is as long as it takes.

    Raises:
        RequestError: If a header says something else than milliseconds.
    """
    for name in TIMEOUTS:
        given = headers.get(name)
        if given is not None:
            if not given.isdigit() or len(given) > 12 or int(given) == 0:
                raise RequestError(f"{name.decode()} is {given[:40].decode('latin-1')!r}; expected milliseconds above 0")
            return int(given) / 1000
    return default


class MemoryBudget:
    """How many bytes of large bodies the process holds, of those it may hold; of small ones the queue bounds the number."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def reserve(self, size: int, own: int = 0) -> None:
        """Hold so many more.

        Args:
            own: What the same body holds already; one that is alone may be as large as a body may be.

        Raises:
            MemoryBudgetExceeded: If they are too many beside those that others hold.
        """
        if self.held + size > self.limit and self.held > own:
            raise MemoryBudgetExceeded
        self.held += size

    def release(self, size: int) -> None:
        """A body of so many bytes, which was read, is not needed any more."""
        if size > SMALL_BODY:
            self.held -= size


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int, memory: MemoryBudget) -> bytes:
    """The request's body; a large one takes its size of `memory` as it arrives, until the caller lets it leave.

    What is announced and does not come takes nothing from others.

    Args:
        headers: The known ones.
        limit: Largest body in bytes.

    Raises:
        TooLarge: If it is larger; no more than the limit is ever kept.
        MemoryBudgetExceeded: If it is too large beside the bodies of other requests.
        UnsupportedEncoding: If it is compressed.
        Disconnected: If the client went away.
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
    """A piece of a body, and whether there is more of it."""
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"the body is larger than {limit} bytes, the most that this server takes")


def has_disconnected(receive: Receive) -> bool:
    """Whether the client of a request that was read completely has gone away; asks without waiting for anything."""
    asking = receive()
    if not isinstance(asking, Coroutine):
        return False
    try:
        asking.send(None)  # a server that knows answers at once; any other begins to wait, which closing ends
    except StopIteration as answered:
        return bool(answered.value["type"] == "http.disconnect")
    asking.close()
    return False


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    headers = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def error_headers(error: RequestError) -> tuple[tuple[bytes, bytes], ...]:
    """What HTTP wants beside the sentence."""
    if error.status == 413:  # the rest of the body may still be on its way
        return ((b"connection", b"close"),)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return ((b"retry-after", b"%d" % retry_after),)
    allowed = getattr(error, "allowed", None)
    return ((b"allow", allowed.replace(" or ", ", ").encode()),) if allowed else ()

"""The little of ASGI that this server needs: its types, reading a body within a limit, sending an answer."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from stagewright.components.serving.predictor.errors import RequestError, TooLarge, UnsupportedEncoding
from stagewright.components.serving.predictor.messages import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

PATIENCE = 4  # a body that is too large is read to its end up to this many times the limit, so that the client sees our answer


class Disconnected(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    return next((value for key, value in headers if key == name), None)


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The request's body.

    Args:
        limit: Largest body in bytes.

    Raises:
        TooLarge: If it is larger; no more than the limit is ever kept.
        UnsupportedEncoding: If it is compressed.
        Disconnected: If the client went away.
    """
    encoding = header(headers, b"content-encoding")
    if encoding not in (None, b"identity", b""):
        raise UnsupportedEncoding(encoding.decode("latin-1"))
    announced = header(headers, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:18]) > limit * PATIENCE:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit * PATIENCE:
            raise _too_large(limit)
        if size <= limit:
            chunks.append(chunk)
        more = message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def error_headers(error: RequestError) -> tuple[tuple[bytes, bytes], ...]:
    """What HTTP wants beside the sentence."""
    if error.status == 413:  # the rest of the body may still be on its way
        return ((b"connection", b"close"),)
    allowed = getattr(error, "allowed", None)
    return ((b"allow", allowed.replace(" or ", ", ").encode()),) if allowed else ()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes, the most that this server takes")

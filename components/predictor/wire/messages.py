"""JSON bodies of requests and responses, and the HTTP response as a value."""

from typing import Any, NamedTuple

import orjson

from stagewright.components.predictor.wire.errors import RequestError, TooLarge, shown

JSON = b"application/json"
# Parsed JSON takes up to 35 times the memory of its text, and parsing blocks other threads. So a body of too many values is
# refused before parsing. 100,000 rows of 50 columns pass. Binary tensors have no such limit.
LARGE_BODY, MOST_VALUES, MOST_CONTAINERS = 2 * 1024 * 1024, 5_000_000, 1_000_000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_bytes(document: Any) -> bytes:
    """Serialize a document as JSON: NumPy arrays as lists, numbers in their shortest form, NaN as null."""
    return orjson.dumps(document, option=_OPTIONS)


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, json_bytes(document))


def json_object(body: bytes | memoryview, what: str = "the body") -> dict[str, Any]:
    """Parse a body that must be a JSON object.

    Raises:
        RequestError: If it is not JSON, or not an object.
        TooLarge: If it has too many values.
    """
    if len(body) > LARGE_BODY:
        _check_values(bytes(body), what)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(f"{what} is {shown(document)}; expected a JSON object")
    return document


def _check_values(body: bytes, what: str) -> None:
    """Refuse JSON with too many values. Commas and brackets inside strings count too, which lowers the limit a little."""
    if body.count(b",") >= MOST_VALUES or body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        raise TooLarge(f"{what} holds more than {MOST_VALUES} values or {MOST_CONTAINERS} lists and objects; "
                       "send fewer rows at once, or tensors in binary form")  # fmt: skip

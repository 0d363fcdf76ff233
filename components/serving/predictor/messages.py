"""Bodies of requests and answers: JSON in, JSON out, and the HTTP answer as a value."""

from typing import Any, NamedTuple

import orjson

from stagewright.components.serving.predictor.errors import RequestError, shown

JSON = b"application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class Answer(NamedTuple):
    """An HTTP answer before it is sent."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_bytes(document: Any) -> bytes:
    """A document as JSON; numpy arrays are lists, numbers in their shortest form, NaN is null."""
    return orjson.dumps(document, option=_OPTIONS)


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, json_bytes(document))


def json_object(body: bytes | memoryview, what: str = "the body") -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        RequestError: If it is not JSON, or not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(f"{what} is {shown(document)}; expected a JSON object")
    return document

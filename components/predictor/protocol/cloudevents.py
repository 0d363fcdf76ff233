"""CloudEvents for V1's and V2's predictions, compatible with KServe's server.

In structured mode, the body is the event, and its `data` is the request. In binary mode, the attributes are `ce-` headers. The
response has the mode of the request. Errors are ordinary responses.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson

from stagewright.components.predictor.wire.errors import RequestError, UnsupportedMedia, shown
from stagewright.components.predictor.wire.messages import Answer, json_bytes, json_object

STRUCTURED, BATCH = b"application/cloudevents+json", b"application/cloudevents-batch+json"
CONTENT_TYPE, SPECVERSION = b"content-type", b"ce-specversion"
ATTRIBUTES = (SPECVERSION, b"ce-id", b"ce-source", b"ce-type")
VERSIONS = ("1.0", "0.3")
TYPE = "io.kserve.inference.response"


def mode(headers: Mapping[bytes, bytes], *, structured: bool) -> str | None:
    """CloudEvents mode of a request: "structured", "binary", or None for an ordinary request.

    Args:
        headers: Result of `known_headers`.
        structured: Whether structured mode is allowed.

    Raises:
        UnsupportedMedia: If the mode is not supported.
        RequestError: If the version of CloudEvents is not supported.
    """
    media = headers.get(CONTENT_TYPE, b"").partition(b";")[0].strip().lower()
    if media == BATCH:
        raise UnsupportedMedia("a batch of CloudEvents is not taken; send one event a request")
    if media == STRUCTURED:
        if not structured:
            raise UnsupportedMedia("a structured CloudEvent is taken at V1's :predict alone; send V2 in binary mode")
        return "structured"
    if any(name not in headers for name in ATTRIBUTES):
        return None
    _check_version(headers[SPECVERSION].decode("latin-1"))
    return "binary"


def data(body: bytes) -> bytes:
    """Extract the request from a structured event.

    Raises:
        RequestError: If the body is not a valid event, or has no data.
    """
    event = json_object(body, "the CloudEvent")
    missing = next((name for name in ("specversion", "id", "source", "type") if not isinstance(event.get(name), str)), None)
    if missing is not None:
        raise RequestError(f"the CloudEvent has no text '{missing}'")
    _check_version(event["specversion"])
    if "data" in event:
        return json_bytes(event["data"])
    coded = event.get("data_base64")
    if not isinstance(coded, str):
        raise RequestError("the CloudEvent has no 'data'; it holds the request, such as {\"instances\": [row, ...]}")
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the CloudEvent's 'data_base64' is not base 64") from None


def sealed(how: str, model: str, answer: Answer) -> Answer:
    """Convert a response to an event.

    Args:
        how: The mode.
        model: Name of the model, for the event's source.
        answer: The response.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0", "id": str(uuid4()), "source": f"io.kserve.inference.{quote(model)}", "type": TYPE,
        "time": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    if how == "binary":
        headers = tuple((f"ce-{name}".encode(), value.encode()) for name, value in attributes.items())
        return answer._replace(headers=(*answer.headers, *headers))
    return answer._replace(body=json_bytes({**attributes, "data": orjson.Fragment(answer.body)}), content_type=STRUCTURED)


def _check_version(version: str) -> None:
    if version not in VERSIONS:
        raise RequestError(f"specversion {shown(version)} of CloudEvents is not known; send 1.0")

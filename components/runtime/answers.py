"""What another server answers, read within bounds: it may be any server, and it may never end."""

from typing import Any

from stagewright.components.runtime.documents import LARGEST_JSON, Unreadable, read_json


def read_body(response: Any, *, most: int = LARGEST_JSON) -> bytes:
    """The body of an answer of urllib3 that was asked for with `preload_content=False`; what it is packed in is unpacked.

    Args:
        most: Bytes that are read, unpacked ones too.

    Raises:
        Unreadable: If there are more.
        HTTPError: urllib3's, if the connection breaks.
    """
    parts, size = [], 0
    for part in response.stream(1 << 16, decode_content=True):
        size += len(part)
        if size > most:
            response.close()  # what is left of it is not read
            raise Unreadable(f"more than {most} bytes")
        parts.append(part)
    response.release_conn()
    return b"".join(parts)


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; None if it is anything else, or nested too deep."""
    try:
        found = read_json(body, most=len(body))
    except Unreadable:
        return None
    return found if isinstance(found, dict) else None

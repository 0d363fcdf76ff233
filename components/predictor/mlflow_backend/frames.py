"""Messages between the server and an MLflow model's process: a JSON header and raw arrays. Messages cannot contain code."""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

_SIZES = struct.Struct("<IQ")  # bytes of the header and of the body
_MOST_HEADER = 16 * 1024 * 1024
_TEXT = "text"
_KINDS = "biuf"  # NumPy's kinds of booleans and numbers

Arrays = Mapping[str, np.ndarray]


class Closed(Exception):
    """The other process has closed the connection."""


def send(connection: socket.socket, message: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Send a message with arrays of any shape: numbers, booleans, or text as str objects.

    Raises:
        Closed: If the other process has closed the connection.
    """
    described, chunks = [], []
    for name, array in (arrays or {}).items():
        kind, content = _bytes(array)
        described.append({"name": name, "kind": kind, "shape": array.shape, "size": len(content)})
        chunks.append(content)
    header = json.dumps({**message, "arrays": described}).encode()
    try:
        connection.sendall(_SIZES.pack(len(header), sum(map(len, chunks))) + header)
        for chunk in chunks:
            connection.sendall(chunk)
    except (BrokenPipeError, ConnectionError):
        raise Closed from None


def receive(connection: socket.socket, until: float | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Receive the next message and its arrays.

    Args:
        until: Deadline for the message, in seconds of the monotonic clock. None uses the connection's timeout for each read.

    Raises:
        Closed: If the other process has closed the connection, or sent an invalid header.
        TimeoutError: If the message did not arrive in time.
    """
    header_size, size = _SIZES.unpack(_read(connection, _SIZES.size, until))
    if header_size > _MOST_HEADER:
        raise Closed
    message = json.loads(bytes(_read(connection, header_size, until)))
    body = _read(connection, size, until)
    arrays, position = {}, 0
    for entry in message.pop("arrays"):
        content = memoryview(body)[position : position + entry["size"]]
        arrays[entry["name"]] = _array(entry["kind"], entry["shape"], content)
        position += entry["size"]
    return message, arrays


def _read(connection: socket.socket, size: int, until: float | None) -> bytearray:
    content = bytearray(size)
    view, position = memoryview(content), 0
    while position < size:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        try:
            got = connection.recv_into(view[position:])
        except ConnectionError:
            raise Closed from None
        if not got:
            raise Closed
        position += got
    return content


def _bytes(array: np.ndarray) -> tuple[str, bytes]:
    if array.dtype.kind in _KINDS:
        return array.dtype.str, np.ascontiguousarray(array).tobytes()
    texts = [str(value).encode() for value in array.ravel().tolist()]
    lengths = np.array([len(text) for text in texts], dtype="<i8")
    return _TEXT, lengths.tobytes() + b"".join(texts)


def _array(kind: str, shape: list[int], content: memoryview) -> np.ndarray:
    if kind != _TEXT:
        return np.frombuffer(content, dtype=np.dtype(kind)).reshape(shape)
    count = int(np.prod(shape, dtype=np.int64))
    array = np.empty(count, dtype=object)
    position = count * 8
    for at, length in enumerate(np.frombuffer(content[:position], dtype="<i8").tolist()):
        array[at] = str(content[position : position + length], "utf-8")
        position += length
    return array.reshape(shape)

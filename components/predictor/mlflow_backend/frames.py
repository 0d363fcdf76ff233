"""Arrays between the server and a model's process: a header in JSON and the arrays' own bytes. Nothing here can hold code."""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

_SIZES = struct.Struct("<IQ")  # of the header and of what follows it, in bytes
_MOST_HEADER = 16 * 1024 * 1024
_TEXT = "text"
_KINDS = "biuf"  # numpy's letters for truth values and numbers

Arrays = Mapping[str, np.ndarray]


class Closed(Exception):
    """The other side has ended."""


def send(connection: socket.socket, message: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Send a message and its arrays: numbers, truth values, or text as str objects.

    Raises:
        Closed: If nobody reads any more.
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
    """The next message and its arrays.

    Args:
        until: When all of it must have come, a moment of the monotonic clock; None leaves the connection's own limit, which
            holds for each piece.

    Raises:
        Closed: If the other side ended, or sent what is no message.
        TimeoutError: If it did not come in time.
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

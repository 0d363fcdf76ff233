"""Decode an artifact from Kubeflow's API as a stream: base64 in a JSON object, with or without gzip."""

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator

_BEFORE, _GZIP = b'"data":"', b"\x1f\x8b"
_HEAD = 64


def decoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode an artifact chunk by chunk, with bounded memory."""
    unpack, first = None, True
    for piece in filter(None, _content(chunks)):
        if first and piece.startswith(_GZIP):
            unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        first = False
        yield from _unpacked(unpack, piece) if unpack else [piece]


def _unpacked(unpack: "zlib._Decompress", piece: bytes) -> Iterator[bytes]:
    """Decompress a chunk, at most 1 MiB at a time: the output can be a thousand times larger."""
    while piece:
        yield unpack.decompress(piece, 1 << 20)
        piece = unpack.unconsumed_tail


def _content(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode the base64 text after `"data":"`, in groups of four characters."""
    inside, rest = False, b""
    for chunk in chunks:
        rest += chunk
        if not inside:
            _, found, after = rest.replace(b'": "', b'":"').partition(_BEFORE)
            if not found:
                rest = rest[-_HEAD:]
                continue
            inside, rest = True, after
        text, end, _ = rest.partition(b'"')
        whole = len(text) - len(text) % 4
        try:
            yield base64.b64decode(text[:whole])
        except binascii.Error:
            return
        if end:
            return
        rest = text[whole:]

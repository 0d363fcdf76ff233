"""An artifact as Kubeflow's API hands it out: base64 in a JSON object, read piece by piece; packed or not."""

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator

_BEFORE, _GZIP = b'"data":"', b"\x1f\x8b"
_HEAD = 64


def decoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of an artifact, of which no more than a piece is held."""
    unpack, first = None, True
    for piece in filter(None, _content(chunks)):
        if first and piece.startswith(_GZIP):
            unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        first = False
        yield from _unpacked(unpack, piece) if unpack else [piece]


def _unpacked(unpack: "zlib._Decompress", piece: bytes) -> Iterator[bytes]:
    """What a piece unpacks to, a megabyte at a time: it may be a thousand times as much."""
    while piece:
        yield unpack.decompress(piece, 1 << 20)
        piece = unpack.unconsumed_tail


def _content(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The text behind `"data":"`, out of base64 in groups of four characters."""
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

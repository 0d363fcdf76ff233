"""A file's bytes, decompressed by what the file is rather than by its name, with damage told in one sentence."""

import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from stagewright.components.runtime.errors import InputError

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz"}
BUFFER_BYTES = 1 << 18

Advance = Callable[[float], None]


def open_bytes(path: Path, name: str, advance: Advance | None = None) -> io.BufferedReader:
    """Open a file for reading its content, decompressed if it is gzip, bzip2, xz or zstd.

    Args:
        name: How the file is called in messages.
        advance: Told the number of stored bytes as they are read.
    """
    codec = compression(path)
    raw = _Counted(path, advance or (lambda _: None))
    content: Any = raw
    if codec == "xz":
        content = lzma.LZMAFile(cast(BinaryIO, raw))  # noqa: SIM115  closed with what it reads from
    elif codec:
        content = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
    return io.BufferedReader(_Content(content, raw, name), BUFFER_BYTES)


def compression(path: Path) -> str | None:
    """gzip, bz2, zstd or xz, by how a file begins; None if it is not compressed."""
    with path.open("rb") as file:
        start = file.read(max(map(len, _MAGIC)))
    return next((codec for magic, codec in _MAGIC.items() if start.startswith(magic)), None)


class _Counted(io.RawIOBase):
    """The stored bytes."""

    def __init__(self, path: Path, advance: Advance) -> None:
        self.file, self.advance = io.FileIO(path), advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self.file.readinto(buffer)
        self.advance(count)
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


class _Content(io.RawIOBase):
    """The decompressed bytes; every way in which a compressed file can be damaged is an InputError."""

    def __init__(self, content: Any, raw: io.RawIOBase, name: str) -> None:
        self.content, self.raw, self.name = content, raw, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self.content.read(len(buffer))
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise InputError(f"{self.name} is damaged: its compressed data cannot be read to the end ({error})") from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.raw.close()
        super().close()

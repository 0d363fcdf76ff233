"""A file's decompressed bytes. Compression is detected from the content, not the name; damage is one sentence."""

import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from stagewright.components.runtime.errors import InputError

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz"}
BUFFER_BYTES = 1 << 18
# Content that exceeds both limits is treated as a decompression bomb: tables and images expand to a few hundred times their
# size.
MOST_TIMES, FREE_BYTES = 500, 64 << 20

Advance = Callable[[float], None]


def open_bytes(path: Path, name: str, advance: Advance | None = None) -> io.BufferedReader:
    """Open a file for reading its content, decompressed if it is gzip, bzip2, xz or zstd.

    Args:
        name: Name of the file in messages.
        advance: Called with the number of stored bytes as they are read.
    """
    codec = compression(path)
    raw = _Counted(path, advance or (lambda _: None))
    content: Any = raw
    if codec == "xz":
        content = lzma.LZMAFile(cast(BinaryIO, raw))  # noqa: SIM115  closed with what it reads from
    elif codec:
        content = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
    return io.BufferedReader(_Content(content, raw, name), BUFFER_BYTES)


def check_ratio(content: int, stored: int, name: str) -> None:
    """Refuse content that is hundreds of times larger than its compressed form.

    Args:
        content: Decompressed bytes, in total or so far.
        stored: Compressed bytes.

    Raises:
        InputError: Naming the file.
    """
    if content > FREE_BYTES and content > MOST_TIMES * max(stored, 1):
        raise InputError(
            f"{name} unpacks to more than {MOST_TIMES} times its size of {stored:,} bytes, as files do that are made to fill a "
            "machine; unpack it yourself if you trust it"
        )


def copy(source: BinaryIO, target: BinaryIO, stored: int, name: str) -> None:
    """Copy decompressed content and check its ratio to the compressed bytes."""
    written = 0
    while piece := source.read(1 << 20):
        written += len(piece)
        check_ratio(written, stored, name)
        target.write(piece)


def compression(path: Path) -> str | None:
    """gzip, bz2, zstd or xz, by the first bytes of the file; None if it is not compressed."""
    with path.open("rb") as file:
        start = file.read(max(map(len, _MAGIC)))
    return next((codec for magic, codec in _MAGIC.items() if start.startswith(magic)), None)


class _Counted(io.RawIOBase):
    """The stored bytes, with progress reports."""

    def __init__(self, path: Path, advance: Advance) -> None:
        self.file, self.advance, self.count = io.FileIO(path), advance, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self.file.readinto(buffer)
        self.count += count
        self.advance(count)
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


class _Content(io.RawIOBase):
    """The decompressed bytes; damage of any kind raises InputError."""

    def __init__(self, content: Any, raw: _Counted, name: str) -> None:
        self.content, self.raw, self.name = content, raw, name
        self.unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self.content.read(len(buffer))
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise InputError(f"{self.name} is damaged: its compressed data cannot be read to the end ({error})") from None
        self.unpacked += len(data)
        check_ratio(self.unpacked, self.raw.count, self.name)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.raw.close()
        super().close()

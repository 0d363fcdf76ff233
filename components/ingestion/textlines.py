"""Encoding of text files, and their lines with undecodable bytes kept visible."""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

from stagewright.components.ingestion.compression import Advance, open_bytes
from stagewright.components.runtime.errors import BadParameter, InputError

SAMPLE_BYTES = 1 << 18
MAX_ROW = 2 << 20  # characters; a longer row has an unclosed quote, or the file is not a table
MAX_STRAY_ZEROS = 3
WESTERN = ["cp1252", "latin_1"]
_MARKS = {
    codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_UNDECODED = re.compile("[\udc00-\udcff]")


def sample(path: Path, name: str) -> bytes:
    """The beginning of a file's content.

    Raises:
        InputError: If the file is empty.
    """
    with open_bytes(path, name) as file:
        content = file.read(SAMPLE_BYTES)
    if not content.strip():
        raise InputError(f"{name} is empty")
    return content


def encoding_of(content: bytes, name: str) -> str:
    """The encoding of a sample: by its byte order mark, else UTF-8 if valid, else UTF-16 by its zeros, else Western.

    Raises:
        InputError: If the content is not text.
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    if zeros := content.count(0):
        # A single control character belongs to a bad row; more of them mean another encoding, or no text.
        if zeros > max(MAX_STRAY_ZEROS, len(content) // 1000):
            return _utf16_without_mark(content, name)
        content = content.replace(b"\0", b"")
    # A multi-byte character that the end of the sample cuts is no error; nor is one invalid byte among many valid ones.
    decoded = (
        content[:-3].decode("utf-8", "surrogateescape")
        if len(content) >= SAMPLE_BYTES
        else content.decode("utf-8", "surrogateescape")
    )
    bad = len(_UNDECODED.findall(decoded))
    beyond_ascii = sum(not line.isascii() and len(re.findall(r"[^\x00-\x7f]", line)) for line in decoded.splitlines())
    if bad == 0 or beyond_ascii - bad > bad:
        return "utf-8"
    best = from_bytes(content, cp_isolation=WESTERN, threshold=1.0).best()
    if best is None:
        raise InputError(f"the encoding of {name} cannot be told from its beginning; set 'encoding', for example to cp1250")
    return best.encoding.replace("_", "-")


def known_encoding(encoding: str) -> str:
    """The canonical name of a given text encoding.

    Raises:
        BadParameter: If the encoding is unknown.
    """
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)
    except LookupError:
        raise BadParameter(
            "encoding", got=encoding, expected="auto or an encoding such as utf-8, utf-16, latin-1 or cp1252"
        ) from None
    return "utf-8" if found.name == "utf-8-sig" else found.name


def lines(path: Path, name: str, encoding: str, advance: Advance | None = None) -> Iterator[str]:
    r"""Physical lines with their ends (\n, \r\n or \r); bytes that cannot be decoded become lone surrogates.

    Raises:
        InputError: For a line longer than `MAX_ROW`.
    """
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    with io.TextIOWrapper(open_bytes(path, name, advance), encoding=codec, errors=_KEEP, newline="") as file:
        number = 0
        while line := file.readline(MAX_ROW):
            number += 1
            if len(line) >= MAX_ROW:
                raise InputError(f"{name}, line {number} is longer than {MAX_ROW:,} characters: this is not a table of rows")
            yield line


def undecoded(line: str, encoding: str) -> str | None:
    """A clause about the first byte of a line that could not be decoded, if there is one."""
    if line.isascii() or not (found := _UNDECODED.search(line)):
        return None
    return f"byte 0x{ord(found.group()) - 0xDC00:02x} is not {encoding}"


def _utf16_without_mark(content: bytes, name: str) -> str:
    even, odd = content[0::2].count(0), content[1::2].count(0)
    if max(even, odd) < 10 * min(even, odd) or max(even, odd) < len(content) // 4:
        raise InputError(f"{name} is not text: it holds zero bytes")
    return "utf-16-be" if even > odd else "utf-16-le"


def _keep(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


_KEEP = "stagewright-keep-undecoded"
codecs.register_error(_KEEP, _keep)

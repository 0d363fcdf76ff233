"""Extract a step's error message and notices from its log.

Steps write one JSON object per line. The surrounding text differs: Kubeflow's launcher adds lines, a container runtime prefixes
each line with a time or wraps it in another object, and a log may be truncated.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import LONGEST, shortened

TAIL = 1 << 20  # bytes from the end of a log; the error message is near the end
LONGEST_LINE = 1 << 20
MOST_NOTICES = 50  # of a step
_FAILED, _NOTICE = ("step_failed", "error"), ("notice", "message")  # event, and the field with its text
_ENDS_TRACEBACK = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Iteration|Warning))(: .*)?")
_PLACES = 64
_SHOWN = 600


@dataclass(frozen=True, slots=True)
class Said:
    """Error message and notices of a log.

    Attributes:
        error: The step's last error message; else the last line of the last traceback; else None.
        notices: The first MOST_NOTICES messages to the user.
        empty: Whether the log is empty.
    """

    error: str | None = None
    notices: tuple[str, ...] = ()
    empty: bool = False


def said_in(chunks: Iterable[bytes]) -> Said:
    """Parse a log.

    Args:
        chunks: The log in chunks of any size; invalid UTF-8 is replaced. At most one line is kept in memory.
    """
    said = raised = None
    notices: list[str] = []
    in_traceback, empty = False, True
    for line in _lines(chunks):
        empty = False
        if b"step_failed" in line and (error := _sentence(line.decode(errors="replace"), _FAILED)):
            said = error
        elif len(notices) < MOST_NOTICES and b"notice" in line and (one := _sentence(line.decode(errors="replace"), _NOTICE)):
            notices.append(shortened(one, LONGEST))
        elif line.rstrip().endswith(b"Traceback (most recent call last):"):
            in_traceback = True
        elif in_traceback and (ended := _end_of_traceback(line)):
            raised, in_traceback = ended, False
    return Said(said or raised, tuple(notices), empty)


def sentence_in(chunks: Iterable[bytes]) -> str | None:
    """A step's error message, as `Said.error`."""
    return said_in(chunks).error


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, truncated to LONGEST_LINE bytes."""
    rest = b""
    for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        if lines:
            yield (rest + lines[0])[:LONGEST_LINE]
            yield from lines[1:]
            rest = b""
        rest = (rest + last)[:LONGEST_LINE]
    if rest:
        yield rest


def _sentence(line: str, wanted: tuple[str, str]) -> str | None:
    """Text of the first object in a line that is the wanted event, or contains it as a string."""
    decoder = json.JSONDecoder()
    start = line.find("{")
    for _ in range(_PLACES):
        if start < 0:
            return None
        try:
            found, end = decoder.raw_decode(line, start)
        except (ValueError, RecursionError):
            start = line.find("{", start + 1)
            continue
        if isinstance(found, dict) and (sentence := _of_entry(found, wanted)):
            return sentence
        start = line.find("{", end)
    return None


def _of_entry(entry: dict[str, Any], wanted: tuple[str, str]) -> str | None:
    event, field = wanted
    if entry.get("event") == event and entry.get(field):
        return " ".join(str(entry[field]).split())
    wrapped = (value for value in entry.values() if isinstance(value, str) and event in value)
    return next((found for one in wrapped if (found := _sentence(one, wanted))), None)


def _end_of_traceback(line: bytes) -> str | None:
    """The exception line after a traceback's frames."""
    text = line.decode(errors="replace").rstrip()
    found = _ENDS_TRACEBACK.search(text)
    if not found or text.startswith(("  ", "\t")):
        return None
    return f"{found[1]}{found[2] or ''}"[:_SHOWN]

"""What a step's log says to people, whoever kept it: the sentence with which the step failed, and its notices.

Our steps write JSON objects, each in a line of its own. What stands around them differs: Kubeflow's launcher writes on after
us, a container runtime puts the time before each line or the line into an object of its own, and a log may be cut in two.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import LONGEST, shortened

TAIL = 1 << 20  # bytes from a log's end; our line is among the last
LONGEST_LINE = 1 << 20
MOST_NOTICES = 50  # of a step
_FAILED, _NOTICE = ("step_failed", "error"), ("notice", "message")  # an event, and the field that holds its sentence
_ENDS_TRACEBACK = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Iteration|Warning))(: .*)?")
_PLACES = 64
_SHOWN = 600


@dataclass(frozen=True, slots=True)
class Said:
    """What a log says.

    Attributes:
        error: The last sentence with which the step says that it failed; else how its last traceback ends; else None.
        notices: The first MOST_NOTICES of what it said to the person who started the run.
        empty: Whether there is no log at all.
    """

    error: str | None = None
    notices: tuple[str, ...] = ()
    empty: bool = False


def said_in(chunks: Iterable[bytes]) -> Said:
    """Read a log.

    Args:
        chunks: The log, in pieces of any size; bytes that are no UTF-8 are replaced. No more than a line is kept.
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
    """The sentence with which a step failed, as `Said.error`."""
    return said_in(chunks).error


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, of each at most its first LONGEST_LINE bytes."""
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
    """What the first object in a line says that is the wanted event, or holds one as text."""
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
    """The exception, which is the first line behind a traceback's frames."""
    text = line.decode(errors="replace").rstrip()
    found = _ENDS_TRACEBACK.search(text)
    if not found or text.startswith(("  ", "\t")):
        return None
    return f"{found[1]}{found[2] or ''}"[:_SHOWN]

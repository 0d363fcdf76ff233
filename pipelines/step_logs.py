"""The sentence with which a step failed, found in its log, whoever kept it.

Our steps end with a JSON object in a line of its own. What stands around it differs: Kubeflow's launcher writes on after us, a
container runtime puts the time before each line or the line into an object of its own, and a log may be cut in two.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

TAIL = 1 << 20  # bytes from a log's end; our line is among the last
LONGEST_LINE = 1 << 20
_MARK = b"step_failed"
_ENDS_TRACEBACK = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Iteration|Warning))(: .*)?")
_PLACES = 64
_SHOWN = 600


def sentence_in(chunks: Iterable[bytes]) -> str | None:
    """The last sentence with which a step says that it failed; else how its last traceback ends; else None.

    Args:
        chunks: The log, in pieces of any size; bytes that are no UTF-8 are replaced. No more than a line is kept.
    """
    said = raised = None
    in_traceback = False
    for line in _lines(chunks):
        if _MARK in line:
            said = _sentence(line.decode(errors="replace")) or said
        elif line.rstrip().endswith(b"Traceback (most recent call last):"):
            in_traceback = True
        elif in_traceback and (ended := _end_of_traceback(line)):
            raised, in_traceback = ended, False
    return said or raised


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


def _sentence(line: str) -> str | None:
    """What the first object in a line says that is a failed step's, or holds one as text."""
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
        if isinstance(found, dict) and (sentence := _error(found)):
            return sentence
        start = line.find("{", end)
    return None


def _error(entry: dict[str, Any]) -> str | None:
    if entry.get("event") == "step_failed" and entry.get("error"):
        return " ".join(str(entry["error"]).split())
    wrapped = (value for value in entry.values() if isinstance(value, str) and "step_failed" in value)
    return next((found for found in map(_sentence, wrapped) if found), None)


def _end_of_traceback(line: bytes) -> str | None:
    """The exception, which is the first line behind a traceback's frames."""
    text = line.decode(errors="replace").rstrip()
    found = _ENDS_TRACEBACK.search(text)
    if not found or text.startswith(("  ", "\t")):
        return None
    return f"{found[1]}{found[2] or ''}"[:_SHOWN]

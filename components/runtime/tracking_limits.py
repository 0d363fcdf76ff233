"""What MLflow can hold on every database. Texts are made to fit before they are sent, so a laptop and a cluster hold the same.

SQLite takes everything. PostgreSQL counts characters and refuses one too many, a NUL, and half a character. MLflow itself cuts
some values silently and refuses others. A text that is too long ends with a pointer to the artifact that holds it whole.
"""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# In characters: the smaller of MLflow's own limit and the column's.
EXPERIMENT, RUN_NAME, KEY, DATASET, ALIAS = 256, 250, 250, 500, 255
PARAMETER, TAG, VERSION_TAG, DESCRIPTION = 6000, 8000, 5000, 5000
WHOLE = "whole"  # among the artifacts of the run

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_NOT_IN_KEYS = re.compile(r"[^\w\-. :/]")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_DIGEST_SHOWN = 8  # hexadecimal digits


@dataclass(frozen=True, slots=True)
class Fitted:
    """Texts that fit.

    Attributes:
        values: Text by key, as MLflow can hold them.
        whole: What was shortened, whole, by the artifact's path.
    """

    values: dict[str, str]
    whole: dict[str, str]


def fit(values: Mapping[str, Any], longest: int, *, folder: str) -> Fitted:
    """Make parameters or tags fit.

    Args:
        longest: Characters that a value may have.
        folder: Where the run's artifacts hold whole what is shortened.
    """
    fitted, whole = {}, {}
    for name, value in values.items():
        text, path = storable(str(value)), f"{folder}/{_file(name)}.txt"
        fitted[key(name)] = shortened(text, longest, f" ... (all {len(text):,} characters: artifact {path})")
        if len(text) > longest:
            whole[path] = text
    return Fitted(fitted, whole)


def storable(text: str) -> str:
    """A text with U+FFFD for what a database refuses: NUL and halves of characters.

    >>> storable("a\\x00b")
    'a\ufffdb'
    """
    return _NOT_STORABLE.sub("\ufffd", text)


def shortened(text: str, longest: int, ending: str) -> str:
    """A text of at most so many characters, the ending among them if anything had to go.

    >>> shortened("a long text", 8, "...")
    'a lon...'
    """
    return text if len(text) <= longest else text[: longest - len(ending)] + ending


def shortened_lines(text: str, longest: int, ending: str) -> str:
    """The same for Markdown: it ends with a whole line where one ends in the last half of what fits."""
    if len(text) <= longest:
        return text
    kept = text[: longest - len(ending)]
    line = kept.rfind("\n") + 1
    return (kept[:line] if line > len(kept) // 2 else kept) + ending


def key(name: str) -> str:
    """A name that MLflow takes for a parameter, tag or metric; one that had to change ends with a digest, so that it stays the
    only one.

    >>> key("test/roc_auc")
    'test/roc_auc'
    """
    taken = _NOT_IN_KEYS.sub("_", name)
    if posixpath.normpath(taken) != taken or taken.startswith((".", "/")):
        taken = re.sub(r"^\.|/", "_", taken) or "_"
    return name if taken == name and len(name) <= KEY else _marked(taken, name, KEY)


def name(text: str, longest: int) -> str:
    """A name of an experiment, run or table that fits; the same text gives the same name."""
    taken = storable(text)
    return taken if taken == text and len(text) <= longest else _marked(taken, text, longest)


def _marked(taken: str, whole: str, longest: int) -> str:
    ending = f"-{_digest(whole)}"
    return taken[: longest - len(ending)] + ending


def _file(name: str) -> str:
    return name if _FILE_NAME.fullmatch(name) else _digest(name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_SHOWN]

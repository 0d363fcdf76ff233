"""What a loaded scikit-learn model may be made of, beyond its types: nothing in it reads a file or calls what its file names.

Every type of scikit-learn is harmless to build. One is not harmless to ask: a vectorizer with `input="filename"` opens whatever
path a request names. Functions in a model (of a FunctionTransformer, a kernel, a metric) could be any that is importable.
"""

import functools
import gc
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stagewright.components.runtime.errors import InputError

MOST_OBJECTS = 5_000_000
MOST_UNPACKED, RATIO = 256 * 2**20, 1000  # bytes of an archive however small it is; beyond, so many times its own
_CALLABLES = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
_LEAVES = (str, bytes, bytearray, int, float, complex, bool, type(None), type, types.ModuleType, np.ufunc, np.dtype, np.generic)


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to far more than it is.

    Raises:
        InputError: If it does.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # whoever loads it says what is wrong
    if unpacked > max(MOST_UNPACKED, RATIO * path.stat().st_size):
        raise InputError(f"{path} unpacks to {unpacked} bytes, more than {RATIO} times its size; it is not loaded")


def check_model(model: Any, source: str) -> None:
    """Refuse a model in which something reads files or calls functions.

    Args:
        model: As it was loaded; nothing of it has been asked yet.
        source: Its file, for the sentence.

    Raises:
        InputError: Naming what it found.
    """
    for found in _everything(model, source):
        if isinstance(found, _CALLABLES):
            name = str(getattr(found, "__qualname__", None) or type(found).__name__)
            raise InputError(
                f"{source} holds the function {name[:100]}, which is not known to be harmless; export the model to ONNX"
            )
        wanted = getattr(found, "__dict__", {})
        if _is_vectorizer(found) and not (type(wanted.get("input")) is str and wanted["input"] == "content"):
            reads = f"{type(found).__name__} that reads files (input={str(wanted.get('input'))[:40]!r})"
            raise InputError(
                f"{source} holds a {reads}, which is not harmless: a request could name any file of this machine; "
                "fit it with input='content'"
            )


def _is_vectorizer(value: Any) -> bool:
    """Whether it is one of scikit-learn's text vectorizers, which are all made of one class."""
    return any(one.__name__ == "_VectorizerMixin" for one in type(value).__mro__)


def _everything(model: Any, source: str) -> Iterator[Any]:
    """All that the model is made of, each once."""
    seen: set[int] = set()
    waiting, kept = [model], []
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, _LEAVES):
            continue
        seen.add(id(value))
        kept.append(value)  # so that no other gets its number
        if len(seen) > MOST_OBJECTS:
            raise InputError(f"{source} is made of more than {MOST_OBJECTS} objects; it is not served")
        yield value
        if isinstance(value, np.ndarray):
            waiting += value.ravel().tolist() if value.dtype == object else []
        elif not isinstance(value, _CALLABLES):
            waiting += [*gc.get_referents(value), *getattr(value, "__dict__", {}).values()]

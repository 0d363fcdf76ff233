"""Conversion of several columns by one call: all numeric columns of a request, or all text columns.

The call goes to `conversion.c`. Without a compiled module, NumPy does the same several times slower.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from types import ModuleType
from typing import Any

import numpy as np

from stagewright.components.predictor.wire import values as convert
from stagewright.components.runtime.signature import MISSING_STRING

_EXACT_INTEGERS = 2.0**53
Rows = Sequence[Sequence[Any]]
Found = tuple[np.ndarray | None, bool]  # array [columns, rows], and whether a value may be missing

conversion: ModuleType | None
try:
    from stagewright.components.predictor import conversion
except ImportError:
    conversion = None


class Group:
    """Columns whose usual values are converted by one call: numbers and booleans, or texts.

    Args:
        members: Positions in a row, with their columns.
        numeric: True for numbers and booleans, False for texts.
        compiled: The compiled conversion; None for NumPy's.
    """

    def __init__(
        self, members: Sequence[tuple[int, Any]], *, numeric: bool, compiled: ModuleType | None = conversion
    ) -> None:  # fmt: skip
        self.places = tuple(at for at, _ in members)
        self._names = [column.name for _, column in members]
        self._needed = [place for place, (_, column) in enumerate(members) if not column.nullable]
        self._truths = [place for place, (_, column) in enumerate(members) if column.kind == "boolean"]
        self._missing: Callable[[np.ndarray], np.ndarray] = np.isnan if numeric else _empty
        self._convert = _by_numpy(numeric) if compiled is None else _by_conversion(compiled, numeric)

    def convert(self, rows: Rows) -> dict[str, np.ndarray] | None:
        """Graph inputs [N, 1] by column; None if a value is invalid or needs the conversion by column."""
        if not self.places:
            return {}
        array, gaps = self._convert(rows, self.places)
        if array is None or (gaps and self._needed and self._missing(array[self._needed]).any()):
            return None
        if self._truths and not _are_truths(array[self._truths]):
            return None
        return dict(zip(self._names, array[:, :, np.newaxis], strict=True))


def _by_conversion(compiled: ModuleType, numeric: bool) -> Callable[[Rows, tuple[int, ...]], Found]:
    fill, dtype = (compiled.numbers, np.float32) if numeric else (compiled.texts, np.object_)

    def convert(rows: Rows, places: tuple[int, ...]) -> Found:
        array = np.empty((len(places), len(rows)), dtype=dtype)
        found = fill(rows, places, array)
        return (None if found == compiled.UNUSUAL else array), found == compiled.GAPS

    return convert


def _by_numpy(numeric: bool) -> Callable[[Rows, tuple[int, ...]], Found]:
    from_values = _numbers if numeric else _texts

    def convert(rows: Rows, places: tuple[int, ...]) -> Found:
        values = list(zip(*rows, strict=True))
        return from_values([values[at] for at in places]), True

    return convert


def _numbers(values: list[tuple[Any, ...]]) -> np.ndarray | None:
    if not convert.NUMBERS.issuperset(map(type, chain.from_iterable(values))):
        return None
    wide = np.array(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    unusual = np.abs(wide) > _EXACT_INTEGERS  # large integers, and values that overflow float32
    return None if unusual.any() else narrow


def _texts(values: list[tuple[Any, ...]]) -> np.ndarray | None:
    return np.array(values, dtype=object) if set(map(type, chain.from_iterable(values))) == {str} else None


def _empty(texts: np.ndarray) -> np.ndarray:
    return texts == MISSING_STRING


def _are_truths(numbers: np.ndarray) -> bool:
    return bool(((numbers == 0) | (numbers == 1) | np.isnan(numbers)).all())

from collections.abc import Mapping, Sequence
from typing import Any

from numpy import ndarray

UNUSUAL: int
COMPLETE: int
GAPS: int

def numbers(rows: Sequence[Sequence[Any]], places: tuple[int, ...], out: ndarray) -> int: ...
def texts(rows: Sequence[Sequence[Any]], places: tuple[int, ...], out: ndarray) -> int: ...
def codes(values: ndarray, known: Mapping[str, float], other: float, out: ndarray) -> None: ...

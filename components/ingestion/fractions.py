"""The fractions of the splits, checked before a run starts and again by the step; imports nothing heavy."""

from collections.abc import Sequence
from math import isclose

from stagewright.components.runtime.errors import BadParameter

SPLITS = ("train", "validation", "test")


def checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """Fractions of train, validation and test, checked.

    Raises:
        BadParameter: Unless they are three numbers above 0 that sum to 1, within a millionth.
    """
    numbers = isinstance(fractions, list | tuple) and all(
        isinstance(share, int | float) and not isinstance(share, bool) and share > 0 for share in fractions
    )
    if not numbers or len(fractions) != len(SPLITS) or not isclose(sum(fractions), 1, rel_tol=0, abs_tol=1e-6):
        raise BadParameter("fractions", got=fractions, expected="three positive numbers that sum to 1: train, validation, test")
    return tuple(float(share) for share in fractions)

"""Whether one server bears more than another: what repeated comparisons show, and what chance would."""

from collections.abc import Sequence
from math import comb

import numpy as np

CHANCE = 0.05
WORTH = 1.03  # less than three percent more is not worth a version
LEAST_ROUNDS = 5  # fewer prove nothing: all of four are won by chance once in sixteen times


def bounds(ratios: Sequence[float]) -> tuple[float, float]:
    """Between which the true median is, by the order of the values alone, whatever they scatter like (sign test).

    Each bound is passed by chance in at most 5 of 100 cases, if there are five values or more: of five to seven the bounds are
    the least and the most, of eight the second of either side. Fewer values have no bounds.

    >>> bounds([1.1, 1.3, 1.2, 1.4, 1.5]), bounds([0.5, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 9.0]), bounds([2.0])
    ((1.1, 1.5), (1.1, 1.6), (0.0, inf))
    """
    ordered = sorted(ratios)
    size = len(ordered)
    below = [sum(comb(size, wins) for wins in range(at + 1)) / 2**size for at in range(size)]
    at = sum(chance <= CHANCE for chance in below) - 1
    return (float(ordered[at]), float(ordered[-1 - at])) if at >= 0 else (0.0, float("inf"))


def is_proved(ratios: Sequence[float]) -> bool:
    """Whether the median is more than three percent above one, and above one whatever the rounds' luck.

    >>> is_proved([1.2, 1.3, 1.1, 1.2, 1.4]), is_proved([1.2, 1.3, 0.9, 1.2, 1.4]), is_proved([1.01] * 9), is_proved([3.0] * 4)
    (True, False, False, False)
    """
    return len(ratios) > 0 and float(np.median(ratios)) > WORTH and bounds(ratios)[0] > 1

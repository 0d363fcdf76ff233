"""Bounds of numeric pipeline parameters. Each step checks its own again, because a run can also start from the dashboard."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.seeds import LARGEST_SEED, SMALLEST_SEED


@dataclass(frozen=True, slots=True)
class Bound:
    """Allowed range of a number, or of each number in a list.

    Attributes:
        whole: Whether only whole numbers are allowed.
        above: Whether the lowest value itself is excluded; `below`, the highest.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False

    def allows(self, value: float) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        if self.whole and not float(value).is_integer():
            return False
        high_enough = value > self.low if self.above else value >= self.low
        return high_enough and (value < self.high if self.below else value <= self.high)

    @property
    def expected(self) -> str:
        """The allowed range, as the end of a sentence."""
        low = "" if self.low == -math.inf else f" {'above' if self.above else 'of at least'} {self.low:g}"
        most = f"below {self.high:.10g}" if self.below else f"{'' if low else 'of '}at most {self.high:.10g}"
        high = "" if self.high == math.inf else f"{' and' if low else ''} {most}"
        return f"{'a whole number' if self.whole else 'a number'}{low}{high}"


_COUNT, _FACTOR, _SHARE, _NOT_NEGATIVE = Bound(1, whole=True), Bound(0, above=True), Bound(0, 1), Bound(0)
_DIFFERENCE = Bound(0, 1, below=True)
_EVERYWHERE = {
    "augmentation": Bound(0, 100), "batch_milliseconds": _FACTOR, "batch_rows": _COUNT, "batch_sizes": _COUNT,
    "calibration_rows": _COUNT, "export_tolerance": _DIFFERENCE,
    "hard_weight": _SHARE, "headroom": _NOT_NEGATIVE, "hidden_weight": _NOT_NEGATIVE,
    "hours": _FACTOR, "longest_wait_seconds": _NOT_NEGATIVE, "maximum_divergence": _NOT_NEGATIVE,
    "maximum_size": _NOT_NEGATIVE, "minimum_agreement": Bound(high=1), "minimum_size_ratio": _FACTOR,
    "minimum_speedup": _NOT_NEGATIVE, "objective_ms": _FACTOR, "pod_start_seconds": _NOT_NEGATIVE, "request_rows": _COUNT,
    "rounds": _COUNT, "rows": _COUNT, "sampled": Bound(0, 1, above=True), "seconds": _FACTOR,
    "seed": Bound(SMALLEST_SEED, LARGEST_SEED, whole=True), "temperature": Bound(0, 100, above=True),
    "threads": Bound(0, 1024, whole=True),
    "threshold": Bound(0, 1, above=True, below=True), "tolerance": _NOT_NEGATIVE,
}  # fmt: skip
_OF_PIPELINE = {
    "optimize-inference": {"rounds": Bound(5, whole=True), "threads": Bound(1, 1024, whole=True)},
    "quantize": {"minimum_speedup": _FACTOR},
    "train-model": {"tolerance": _DIFFERENCE},
}


def bounds(pipeline: str) -> Mapping[str, Bound]:
    """Bounds by parameter name; parameters that the pipeline lacks may be included."""
    return _EVERYWHERE | _OF_PIPELINE.get(pipeline, {})


def check_bounds(pipeline: str, arguments: Mapping[str, Any]) -> None:
    """Check that every number is within its bounds.

    Raises:
        BadParameter: For the first number out of bounds.
    """
    for name, bound in bounds(pipeline).items():
        value = arguments.get(name)
        for number in value if isinstance(value, list | tuple) else [] if value is None else [value]:
            if not bound.allows(number):
                each = "numbers, each " if number is not value else ""
                raise BadParameter(name, got=value, expected=f"{each}{bound.expected}")

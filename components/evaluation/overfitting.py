"""Whether a model knows its training rows better than it knows the world."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stagewright.components.evaluation.bootstrap import Interval
from stagewright.components.evaluation.metrics import METRICS, Measured
from stagewright.components.runtime.schema import Task

TOLERANCE = 0.05  # of a metric between 0 and 1
_COMPARED_BY = {Task.BINARY: "roc_auc", Task.MULTICLASS: "roc_auc", Task.REGRESSION: "r2"}


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The main metric on the rows that a model learned from, and on rows that it did not.

    R² stands in for RMSE in regression: it has no unit, so that one tolerance fits every target.

    Attributes:
        gap: How much better training is than validation.
        warning: Whether the gap is larger than the tolerance and not explained by chance.
    """

    metric: str
    train: float | None
    validation: float | None
    gap: float | None
    tolerance: float
    warning: bool
    sentence: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def check(
    task: Task, train: Measured, validation: Measured, intervals: Mapping[str, Interval], *, tolerance: float = TOLERANCE
) -> Overfitting:
    """Compare training with validation.

    Args:
        intervals: Confidence interval of each metric on validation: a training value inside it is no sign of over-fitting.
        tolerance: Largest gap that is not worth a warning.
    """
    metric = METRICS[_COMPARED_BY[task]]
    ours, theirs = train.values.get(metric.name), validation.values.get(metric.name)
    if ours is None or theirs is None:
        return Overfitting(metric.name, ours, theirs, None, tolerance, False, f"{metric.label} is not known on both splits.")
    gap = ours - theirs
    interval = intervals.get(metric.name)
    beyond = interval is None or ours > interval[1]
    warning = gap > tolerance and beyond
    numbers = f"{metric.label} is {ours:.3f} on the training split and {theirs:.3f} on validation"
    if warning:
        verdict = f"the gap of {gap:.3f} exceeds the tolerance of {tolerance:g} and what chance explains: the model over-fits."
    elif gap > tolerance:
        verdict = f"the gap of {gap:.3f} exceeds the tolerance of {tolerance:g}, but chance can explain it on so few rows."
    else:
        verdict = f"the gap of {gap:.3f} is within the tolerance of {tolerance:g}."
    return Overfitting(metric.name, ours, theirs, gap, tolerance, warning, f"{numbers}; {verdict}")

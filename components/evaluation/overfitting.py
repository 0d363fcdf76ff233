"""Detection of overfitting.

Nearly every model is better on its training rows: forests memorize them and may still be good. So a gap alone is no sign of
overfitting. It is one if it takes a large part of the model's gain over no knowledge, even at the upper end of the validation
metric's interval.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stagewright.components.metrics.bootstrap import Interval
from stagewright.components.metrics.metrics import METRICS, Measured
from stagewright.components.runtime.schema import Task

TOLERANCE = 0.05  # of a metric between 0 and 1
MOST_LOST = 1 / 3  # share of the model's gain
_COMPARED_BY = {Task.BINARY: "roc_auc", Task.MULTICLASS: "roc_auc", Task.REGRESSION: "r2"}
_NOTHING = {"roc_auc": 0.5, "r2": 0.0}  # value of a model without knowledge


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The main metric on training and on validation rows.

    R² replaces RMSE in regression: it has no unit, so one tolerance fits every target.

    Attributes:
        gap: How much better training is than validation.
        lost: Minimum share of the gain over no knowledge that is lost on new rows, with validation at the upper end of its
            interval; None without a gain.
        warning: Whether the model overfits.
    """

    metric: str
    train: float | None
    validation: float | None
    gap: float | None
    lost: float | None
    warning: bool
    sentence: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def check(
    task: Task, train: Measured, validation: Measured, intervals: Mapping[str, Interval], *, tolerance: float = TOLERANCE
) -> Overfitting:
    """Compare training with validation.

    Args:
        intervals: Confidence interval of each metric on validation.
        tolerance: Largest gap without a warning.
    """
    metric = METRICS[_COMPARED_BY[task]]
    ours, theirs = train.values.get(metric.name), validation.values.get(metric.name)
    if ours is None or theirs is None:
        return Overfitting(metric.name, ours, theirs, None, None, False, f"{metric.label} is not known on both splits.")
    gap, gained = ours - theirs, ours - _NOTHING[metric.name]
    best = max(theirs, intervals[metric.name][1]) if metric.name in intervals else theirs
    lost = max(0.0, (ours - best) / gained) if gained > 0 else None
    warning = lost is not None and lost > MOST_LOST and gap > tolerance
    numbers = f"{metric.label} is {ours:.3f} on the training split and {theirs:.3f} on validation"
    if warning:
        verdict = (
            f"at least {min(lost or 0, 1):.0%} of what it gained over knowing nothing is lost on new rows: "
            "the model over-fits; a simpler one, or more rows, may do better."
        )
    elif gap > tolerance:
        verdict = f"most of what it gained over knowing nothing may hold for new rows, so the gap of {gap:.3f} is no warning."
    else:
        verdict = f"the gap of {gap:.3f} is small."
    return Overfitting(metric.name, ours, theirs, gap, lost, warning, f"{numbers}; {verdict}")

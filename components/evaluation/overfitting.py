"""Whether a model knows its training rows better than it knows the world.

Nearly every model is better on the rows that it learned from: forests know them by heart and may be good all the same. So a gap
alone is no sign of over-fitting. It is one where it takes a large part of what the model gained over knowing nothing, even at
the upper end of what validation may be by chance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stagewright.components.metrics.bootstrap import Interval
from stagewright.components.metrics.metrics import METRICS, Measured
from stagewright.components.runtime.schema import Task

TOLERANCE = 0.05  # of a metric between 0 and 1
MOST_LOST = 1 / 3  # of what the model gained
_COMPARED_BY = {Task.BINARY: "roc_auc", Task.MULTICLASS: "roc_auc", Task.REGRESSION: "r2"}
_NOTHING = {"roc_auc": 0.5, "r2": 0.0}  # what a model that knows nothing reaches


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The main metric on the rows that a model learned from, and on rows that it did not.

    R² stands in for RMSE in regression: it has no unit, so that one tolerance fits every target.

    Attributes:
        gap: How much better training is than validation.
        lost: Share of the gain over a model that knows nothing that new rows lose at least, which is where validation stands at
            the upper end of its interval; None without a gain.
        warning: Whether the model over-fits.
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
        tolerance: Largest gap that is not worth a warning.
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

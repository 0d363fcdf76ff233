"""The quality gate of a model."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stagewright.components.evaluation.champion import Champion
from stagewright.components.metrics.bootstrap import Interval
from stagewright.components.metrics.metrics import METRICS, Measured, Metric, of_task
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.errors import BadParameter, GateFailed, did_you_mean
from stagewright.components.runtime.report import text
from stagewright.components.runtime.schema import Task


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Attributes:
        measured: Measured value, as text.
        required: Required value, as text.
        failure: A clause that describes the failure; empty if it passed.
    """

    subject: str
    measured: str
    required: str
    failure: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


@dataclass(frozen=True, slots=True)
class Gate:
    """All conditions of one model."""

    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[str]:
        return [check.failure for check in self.checks if check.failure]

    @property
    def passed(self) -> bool:
        return not self.failures

    def document(self) -> dict[str, Any]:
        checks = [asdict(check) | {"passed": check.passed} for check in self.checks]
        return {"passed": self.passed, "failures": self.failures, "checks": checks}

    def require(self, subject: str) -> None:
        """Raise an error if a condition failed.

        Raises:
            GateFailed: With every failure.
        """
        if not self.passed:
            raise GateFailed(subject, self.failures)


def parse_minimum(minimum: Mapping[str, Any], task: Task) -> dict[str, float]:
    """Thresholds by metric, checked.

    Raises:
        BadParameter: If a metric does not exist or does not fit the task, or a threshold is not a finite number.
    """
    fitting = [metric.name for metric in of_task(task)]
    for name, threshold in minimum.items():
        if name not in METRICS:
            expected = f"metrics of a {task} model ({', '.join(fitting)}){did_you_mean(name, METRICS)}"
            raise BadParameter("minimum", got=name, expected=expected)
        if name not in fitting:
            raise BadParameter("minimum", got=name, expected=f"a metric that fits a {task} model: {', '.join(fitting)}")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
            raise BadParameter(f"minimum.{name}", got=threshold, expected="a finite number")
    return {name: float(threshold) for name, threshold in minimum.items()}


def threshold_checks(thresholds: Mapping[str, float], test: Measured) -> list[Check]:
    """Each test metric against its threshold: a minimum for scores, a maximum for errors."""
    return [_threshold(METRICS[name], threshold, test) for name, threshold in thresholds.items()]


def _threshold(metric: Metric, threshold: float, test: Measured) -> Check:
    bound = "at most" if metric.lower_is_better else "at least"
    required = f"{bound} {threshold:g}"
    if metric.name not in test.values:
        reason = test.absent.get(metric.name, "it was not measured")
        return Check(metric.label, "unknown", required, f"{metric.name} is unknown ({reason}), {required} is wanted")
    found = test.values[metric.name]
    missed = "" if metric.gain(found, threshold) >= 0 else f"{metric.name} is {_shown(found, threshold)}, {required} is wanted"
    return Check(metric.label, _shown(found, threshold), required, missed)


def baseline_outcome(train: Outcome, rows: Outcome) -> Outcome:
    """Outcome of the trivial baseline: the class shares of the training split, or its mean."""
    if rows.task is Task.REGRESSION:
        return Outcome(rows.task, rows.truth, np.full(len(rows), train.truth.mean()))
    shares = np.bincount(train.truth, minlength=len(rows.labels)) / len(train)
    answer = int(shares[1] >= 0.5) if rows.task is Task.BINARY else int(shares.argmax())
    return Outcome(rows.task, rows.truth, np.full(len(rows), answer), np.tile(shares, (len(rows), 1)), rows.classes)


def baseline_check(metric: Metric, test: Measured, baseline: Measured) -> Check:
    """Better than the trivial baseline, by the main metric."""
    subject, kind = f"{metric.label} against the trivial baseline", "below" if metric.lower_is_better else "above"
    ours, theirs = test.values.get(metric.name), baseline.values.get(metric.name)
    if ours is None or theirs is None:
        reason = test.absent.get(metric.name, "it was not measured")
        return Check(subject, "unknown", "better", f"{metric.name} is unknown ({reason}), so it beats no baseline")
    required = f"{kind} {text(theirs)}"
    missed = f"{metric.name} is {_shown(ours, theirs)}, no better than {text(theirs)} of a model that learned nothing"
    return Check(subject, _shown(ours, theirs), required, "" if metric.gain(ours, theirs) > 0 else missed)


def champion_check(champion: Champion) -> Check | None:
    """No significant loss against the champion: the interval of the gain must not be entirely below zero.

    A loss within the uncertainty of the test split passes: such a model may be better on the next data, and a stricter gate
    would reject every second retraining of the same recipe. None if there is nothing to compare.
    """
    if not champion.comparable or champion.metric is None or champion.gain is None:
        return None
    interval: Interval | None = champion.interval
    shown = f"{champion.gain:+.4g}" + (f" ({interval[0]:+.4g} to {interval[1]:+.4g})" if interval else "")
    worse = interval[1] < 0 if interval else champion.gain < 0
    failure = f"{champion.metric.name} is worse than that of champion {champion.version}: gain {shown}" if worse else ""
    return Check(f"{champion.metric.label}: gain over champion {champion.version}", shown, "not below 0 beyond chance", failure)


def _shown(found: float, limit: float) -> str:
    """The number with enough digits to distinguish it from the limit."""
    if found == limit or text(found) != text(limit):
        return text(found)
    return next((f"{found:.{digits}g}" for digits in (6, 9, 12) if f"{found:.{digits}g}" != f"{limit:.{digits}g}"), repr(found))

"""A student beside its teacher: how far they agree, how good each is, how fast and how large."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stagewright.components.measurement.graph_latency import Latency
from stagewright.components.metrics import bootstrap
from stagewright.components.metrics.metrics import METRICS, Measured, Metric, main_metric, measure, of_task
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.errors import BadParameter, one_of
from stagewright.components.runtime.schema import Task

LOADS = ("batch", "single_row", "both")
_SHARES = {
    "roc_auc",
    "pr_auc",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "r2",
}  # of one: points of a hundred


@dataclass(frozen=True, slots=True)
class Limits:
    """What a student must keep to.

    Attributes:
        tolerance: Points (of a hundred) of the quality metric that may be lost; percent of it for an error.
        minimum_agreement: Share of rows with the teacher's label; for values, the R² against the teacher's values.
        maximum_divergence: Mean Kullback-Leibler divergence of the student's probabilities from the teacher's, in nats.
        minimum_speedup: How many times faster than the teacher.
        load: What must be that much faster: batch, single_row or both.
        maximum_size: Share of the teacher's size that the student's graph may have.
        metric: Quality metric; auto: ROC AUC, log loss where a class is missing, RMSE for values.
    """

    tolerance: float = 1.0
    minimum_agreement: float = 0.9
    maximum_divergence: float = 0.1
    minimum_speedup: float = 2.0
    load: str = "batch"
    maximum_size: float = 1.0
    metric: str = "auto"

    def check(self, task: Task) -> None:
        """Refuse limits that cannot be.

        Raises:
            BadParameter: Naming the limit.
        """
        one_of("load", self.load, LOADS)
        one_of("metric", self.metric, ("auto", *(metric.name for metric in of_task(task))))
        for name in ("tolerance", "maximum_divergence", "minimum_speedup", "maximum_size"):
            if not getattr(self, name) >= 0:
                raise BadParameter(name, got=getattr(self, name), expected="a number of at least 0")
        if not self.minimum_agreement <= 1:
            raise BadParameter("minimum_agreement", got=self.minimum_agreement, expected="a share of at most 1")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How far a student does as its teacher.

    Attributes:
        agreement: Share of rows with the same label; R² against the teacher's values for a regression.
        divergence: Mean Kullback-Leibler divergence in nats; None for a regression.
    """

    agreement: float
    divergence: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of a student and of its teacher on the same rows in the same run.

    Attributes:
        loss: What the student loses of the metric: points of a hundred, or percent for an error; negative for a gain.
        intervals: 95 % intervals of each metric by who it is: teacher, student.
        gain: 95 % interval of how much better the student is by the metric, by a paired bootstrap.
    """

    metric: Metric
    teacher: Measured
    student: Measured
    fidelity: Fidelity
    latency: Mapping[str, Latency]
    bytes: Mapping[str, int]
    loss: float
    intervals: dict[str, dict[str, bootstrap.Interval]] = field(default_factory=dict)
    gain: bootstrap.Interval | None = None

    @property
    def speedup(self) -> dict[str, float]:
        """How many times faster the student is, by load."""
        teacher, student = self.latency["teacher"], self.latency["student"]
        return {"batch": teacher.batch / student.batch, "single_row": teacher.single_row / student.single_row}

    def failures(self, limits: Limits) -> list[str]:
        """One clause for each limit that the student breaks."""
        found = []
        unit = "points" if self.metric.name in _SHARES else "percent"
        name = self.metric.name
        if not self.loss <= limits.tolerance:
            teacher, student = self.teacher.values.get(name, np.nan), self.student.values.get(name, np.nan)
            found.append(
                f"it loses {self.loss:.2f} {unit} of {name} (teacher {teacher:.4g}, student {student:.4g}), "
                f"{limits.tolerance:g} are allowed"
            )
        agreement, divergence = self.fidelity.agreement, self.fidelity.divergence
        if not agreement >= limits.minimum_agreement:
            what = "an R² against its values" if divergence is None else "the same answer in a share"
            found.append(f"it has {what} of {agreement:.3f} with the teacher, at least {limits.minimum_agreement:g} is wanted")
        if divergence is not None and not divergence <= limits.maximum_divergence:
            found.append(
                f"its divergence from the teacher is {divergence:.3f} nats, at most {limits.maximum_divergence:g} is wanted"
            )
        for load, times in self.speedup.items():
            if limits.load in {load, "both"} and not times >= limits.minimum_speedup:
                shown = "single rows" if load == "single_row" else "batches"
                found.append(f"it is {times:.1f} times as fast on {shown}, at least {limits.minimum_speedup:g} is wanted")
        share = self.bytes["student"] / self.bytes["teacher"]
        if not share <= limits.maximum_size:
            found.append(f"its graph has {share:.2f} times the teacher's bytes, at most {limits.maximum_size:g} is wanted")
        return found

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "metric": self.metric.name,
            "loss": self.loss,
            "metrics": {"teacher": self.teacher.values, "student": self.student.values},
            "intervals": {who: {k: list(v) for k, v in found.items()} for who, found in self.intervals.items()},
            "gain_interval": list(self.gain) if self.gain else None,
            "agreement": self.fidelity.agreement,
            "divergence": self.fidelity.divergence,
            "latency": {who: asdict(one) for who, one in self.latency.items()},
            "speedup": self.speedup,
            "bytes": dict(self.bytes),
        }


def compare(
    teacher: Outcome,
    student: Outcome,
    *,
    metric: str,
    latency: Mapping[str, Latency],
    sizes: Mapping[str, int],
    resample: bool = False,
    seed: int = 0,
) -> Comparison:
    """Put both side by side.

    Args:
        teacher: What the teacher answered for the rows, beside the truth.
        student: The same for the student.
        metric: Name of the quality metric, or auto.
        resample: Whether to add intervals.
    """
    measured = measure(teacher), measure(student)
    chosen = main_metric(teacher.task, *measured) if metric == "auto" else METRICS[metric]
    intervals: dict[str, dict[str, bootstrap.Interval]] = {}
    gain = None
    if resample:
        intervals = {who: bootstrap.intervals(one, seed=seed) for who, one in (("teacher", teacher), ("student", student))}
        gain = bootstrap.gain_interval(student, teacher, chosen.name, seed=seed)
    return Comparison(
        metric=chosen,
        teacher=measured[0],
        student=measured[1],
        fidelity=fidelity(teacher, student),
        latency=latency,
        bytes=sizes,
        loss=loss(chosen, measured[0], measured[1]),
        intervals=intervals,
        gain=gain,
    )


def loss(metric: Metric, teacher: Measured, student: Measured) -> float:
    """What the student loses: points of a hundred of a share, percent of an error; NaN where it is unknown."""
    if metric.name not in teacher.values or metric.name not in student.values:
        return float("nan")
    old, new = teacher.values[metric.name], student.values[metric.name]
    worse = -metric.gain(new, old)
    if metric.name in _SHARES:
        return 100 * worse
    return 100 * worse / old if old > 0 else (0.0 if worse <= 0 else float("inf"))


def fidelity(teacher: Outcome, student: Outcome) -> Fidelity:
    """How far the student answers as the teacher does, whatever is true."""
    if teacher.task is Task.REGRESSION:
        spread = float(((teacher.predicted - teacher.predicted.mean()) ** 2).sum())
        missed = float(((teacher.predicted - student.predicted) ** 2).sum())
        return Fidelity(1 - missed / spread if spread > 0 else float(missed == 0), None)
    agreement = float((teacher.predicted == student.predicted).mean())
    return Fidelity(agreement, divergence(teacher.class_probabilities, student.class_probabilities))


def divergence(teacher: np.ndarray, student: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of the student's probabilities [N, C] from the teacher's, in nats.

    >>> divergence(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))
    0.0
    """
    p, q = (np.clip(rows, 1e-7, 1.0) for rows in (teacher, student))
    return float(max(0.0, (p * (np.log(p) - np.log(q))).sum(axis=1).mean()))

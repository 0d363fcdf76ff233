"""Metrics of a model's predictions, computed by scikit-learn. An undefined metric is absent, with the reason."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn import metrics as sk

from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.schema import Task

CALIBRATION_BINS = 10


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        label: Display name.
        lower_is_better: Whether it is an error: then a threshold is a maximum.
    """

    name: str
    label: str
    lower_is_better: bool = False

    def gain(self, new: float, old: float) -> float:
        """How much better `new` is than `old`; negative if it is worse."""
        return old - new if self.lower_is_better else new - old


_CLASSIFICATION = (
    Metric("roc_auc", "ROC AUC"),
    Metric("pr_auc", "PR AUC"),
    Metric("accuracy", "Accuracy"),
    Metric("balanced_accuracy", "Balanced accuracy"),
    Metric("precision", "Precision"),
    Metric("recall", "Recall"),
    Metric("f1", "F1"),
    Metric("log_loss", "Log loss", lower_is_better=True),
    Metric("brier", "Brier score", lower_is_better=True),
    Metric("calibration_error", "Calibration error", lower_is_better=True),
)
_REGRESSION = (
    Metric("rmse", "RMSE", lower_is_better=True),
    Metric("mae", "MAE", lower_is_better=True),
    Metric("r2", "R²"),
    Metric("mape", "MAPE", lower_is_better=True),
)
METRICS = {metric.name: metric for metric in (*_CLASSIFICATION, *_REGRESSION)}
# Metrics that compare models: the first that is defined for both.
_MAIN = {
    Task.BINARY: ("roc_auc", "log_loss"), Task.MULTICLASS: ("roc_auc", "log_loss"), Task.REGRESSION: ("rmse",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics by name, and the reason for each undefined one."""

    values: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class Undefined(Exception):
    """A metric is undefined for these rows; the message says why."""


def of_task(task: Task) -> tuple[Metric, ...]:
    """The metrics of a task, most important first."""
    return _REGRESSION if task is Task.REGRESSION else _CLASSIFICATION


def main_metric(task: Task, *measured: Measured) -> Metric:
    """The metric that compares models of this task: ROC AUC (log loss if a class is missing), or RMSE."""
    for name in _MAIN[task]:
        if all(name in one.values for one in measured):
            return METRICS[name]
    return METRICS[_MAIN[task][-1]]


def measure(outcome: Outcome) -> Measured:
    """Every metric of the task.

    For two classes, precision, recall and F1 refer to the second class; for more, they are averages over the classes that occur
    (macro). A division by zero counts as 0. For more than two classes, ROC AUC and PR AUC are averages of one class against the
    rest, and are absent if a class does not occur. The Brier score is the sum of squared errors over all classes for more than
    two classes (0 to 2), and the mean squared error of the second class's probability for two (0 to 1). MAPE is a fraction (0.1
    is ten percent) over the rows whose true value is not zero.
    """
    result = Measured()
    for metric in of_task(outcome.task):
        try:
            result.values[metric.name] = value(metric, outcome)
        except Undefined as reason:
            result.absent[metric.name] = str(reason)
    return result


def value(metric: Metric, outcome: Outcome) -> float:
    """One metric of an outcome.

    Raises:
        Undefined: If it has no value for these rows.
    """
    functions = _REGRESSION_FUNCTIONS if outcome.task is Task.REGRESSION else _CLASSIFICATION_FUNCTIONS
    return _number(functions[metric.name], outcome)


def _number(function: Callable[[Outcome], float], outcome: Outcome) -> float:
    if len(outcome) == 0:
        raise Undefined("there are no rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never predicted counts as zero: no warning
        number = float(function(outcome))
    if not np.isfinite(number):
        raise Undefined("it is not a finite number for these rows")
    return number


def calibration_bins(outcome: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data of the calibration error and the calibration plot.

    Returns:
        [N] bin of each row, [N] predicted probability (two classes: of the second; more: the highest), [N] 1.0 where the
        predicted class is the true one.
    """
    if outcome.task is Task.BINARY:
        claimed, came_true = outcome.class_probabilities[:, 1], outcome.truth == 1
    else:
        top = outcome.class_probabilities.argmax(axis=1)
        claimed, came_true = outcome.class_probabilities[np.arange(len(outcome)), top], outcome.truth == top
    bins = np.minimum((claimed * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    return bins, claimed, came_true.astype(np.float64)


def row_log_loss(outcome: Outcome) -> np.ndarray:
    """[N] negative log of the probability of the true class, clipped at float64's epsilon."""
    epsilon = np.finfo(np.float64).eps
    probability = outcome.class_probabilities[np.arange(len(outcome)), outcome.truth]
    return -np.log(np.clip(probability, epsilon, 1 - epsilon))


def row_brier(outcome: Outcome) -> np.ndarray:
    """[N] squared error of the probabilities, as `measure` defines it."""
    if outcome.task is Task.BINARY:
        return (outcome.class_probabilities[:, 1] - outcome.truth) ** 2
    hit = np.arange(outcome.class_probabilities.shape[1]) == outcome.truth[:, None]
    return ((outcome.class_probabilities - hit) ** 2).sum(axis=1)


def _calibration_error(outcome: Outcome) -> float:
    """Expected calibration error over ten bins of equal width (Naeini, Cooper and Hauskrecht, 2015)."""
    bins, claimed, came_true = calibration_bins(outcome)
    return float(np.abs(np.bincount(bins, weights=claimed - came_true)).sum() / len(outcome))


def _average(outcome: Outcome) -> dict[str, object]:
    """scikit-learn's averaging mode for several classes."""
    if outcome.task is Task.BINARY:
        return {"average": "binary", "pos_label": 1, "zero_division": 0}
    return {"average": "macro", "zero_division": 0}


def _every_class_occurs(outcome: Outcome) -> None:
    counts = np.bincount(outcome.truth, minlength=len(outcome.labels))
    if (counts == len(outcome)).any():
        raise Undefined(f"all rows are of class '{outcome.labels[int(counts.argmax())]}'")
    if (counts == 0).any():
        raise Undefined(f"no row is of class '{outcome.labels[int(counts.argmin())]}'")


def _roc_auc(outcome: Outcome) -> float:
    _every_class_occurs(outcome)
    if outcome.task is Task.BINARY:
        return sk.roc_auc_score(outcome.truth, outcome.class_probabilities[:, 1])
    hits = outcome.truth[:, None] == np.arange(len(outcome.labels))
    return sk.roc_auc_score(hits, outcome.class_probabilities, average="macro")


def _pr_auc(outcome: Outcome) -> float:
    _every_class_occurs(outcome)
    if outcome.task is Task.BINARY:
        return sk.average_precision_score(outcome.truth, outcome.class_probabilities[:, 1])
    hits = outcome.truth[:, None] == np.arange(len(outcome.labels))
    return sk.average_precision_score(hits, outcome.class_probabilities, average="macro")


def _log_loss(outcome: Outcome) -> float:
    return sk.log_loss(outcome.truth, outcome.class_probabilities, labels=np.arange(len(outcome.labels)))


def _r2(outcome: Outcome) -> float:
    if len(outcome) < 2 or np.ptp(outcome.truth) == 0:
        raise Undefined("all true values are the same")
    return sk.r2_score(outcome.truth, outcome.predicted)


def _mape(outcome: Outcome) -> float:
    rows = outcome.truth != 0
    if not rows.any():
        raise Undefined("all true values are zero")
    return sk.mean_absolute_percentage_error(outcome.truth[rows], outcome.predicted[rows])


_CLASSIFICATION_FUNCTIONS: dict[str, Callable[[Outcome], float]] = {
    "accuracy": lambda o: sk.accuracy_score(o.truth, o.predicted),
    "balanced_accuracy": lambda o: sk.balanced_accuracy_score(o.truth, o.predicted),
    "precision": lambda o: sk.precision_score(o.truth, o.predicted, **_average(o)),
    "recall": lambda o: sk.recall_score(o.truth, o.predicted, **_average(o)),
    "f1": lambda o: sk.f1_score(o.truth, o.predicted, **_average(o)),
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "log_loss": _log_loss,
    "brier": lambda o: float(row_brier(o).mean()),
    "calibration_error": _calibration_error,
}
_REGRESSION_FUNCTIONS: dict[str, Callable[[Outcome], float]] = {
    "mae": lambda o: sk.mean_absolute_error(o.truth, o.predicted),
    "rmse": lambda o: sk.root_mean_squared_error(o.truth, o.predicted),
    "r2": _r2,
    "mape": _mape,
}

"""How good a graph's answers are, and how much worse than another's for the same rows.

Losses are told in points. For a classifier a point is a hundredth of accuracy, and for two classes also of ROC AUC: the larger
loss counts. For a regressor a point is one percent of the root mean squared error. Where the true values are not known, the
float model's answers stand for them: then accuracy is the share of equal labels, and a regressor's point is one percent of the
spread of its values.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn import metrics as sk

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import Predictions

Loss = Callable[[np.ndarray], np.ndarray]

RESAMPLES = 1000
BLOCK_BYTES = 32_000_000  # of the counts of resamples that are measured at once; what is made of them takes some times more
LEVEL = 0.95
_TINY = 1e-15


@dataclass(frozen=True, slots=True)
class Truth:
    """What answers are measured against.

    Attributes:
        values: [N] position of the true class (int64), or true value (float64).
        classes: Labels in the order of the probabilities; None for regression.
        known: Whether these are true values; otherwise they are the float model's.
        spread: Of a regressor's values: what errors are compared with where the model's own error is none.
    """

    values: np.ndarray
    classes: tuple[Any, ...] | None
    known: bool
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class Quality:
    """How good answers are.

    Attributes:
        metrics: accuracy, log_loss and, where it can be computed, roc_auc; or rmse and r2.
        lost: Points lost against the float model; negative where it is better.
        interval: 95% interval of the loss: paired bootstrap over rows.
        by_metric: Points lost of each metric that the gate looks at.
        intervals: The 95% interval of each of these.
        changed: Share of labels that differ from the float model's; for a regressor none.
        largest: Largest difference of a probability or value from the float model's.
    """

    metrics: dict[str, float]
    lost: float
    interval: tuple[float, float]
    by_metric: dict[str, float]
    changed: float | None
    largest: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def truth_of(column: Any, classes: tuple[Any, ...] | None, own: Predictions) -> Truth:
    """True values of a table's column, or the float model's answers where there is none.

    Args:
        column: The target's values as a list without gaps, or None.

    Raises:
        InputError: For a label that the model does not know.
    """
    if classes is None:
        values = np.asarray(own.values if column is None else column, dtype=np.float64)
        return Truth(values, None, column is not None, float(np.std(values)) or 1.0)
    codes = {str(label): position for position, label in enumerate(classes)}
    given = np.asarray(own.labels).tolist() if column is None else column
    unknown = sorted({str(label) for label in given} - set(codes))
    if unknown:
        known = ", ".join(list(codes)[:5])
        raise InputError(f"the target holds '{unknown[0]}', which the model does not know; it knows {known}")
    return Truth(np.array([codes[str(label)] for label in given], np.int64), classes, column is not None)


def quality(answered: Predictions, own: Predictions, truth: Truth, *, seed: int = 0) -> Quality:
    """Measure a candidate's answers beside the float model's.

    The interval is a percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) over rows,
    with the same resamples for both models.

    Raises:
        InputError: If an answer is not a finite number.
    """
    made, reference = (_numbers(found, truth) for found in (answered, own))
    if not np.isfinite(made).all():
        raise InputError("it answers numbers that are not finite")
    rows = len(truth.values)
    losses = _losses(answered, own, truth)
    by_metric = {name: float(loss(np.ones((1, rows)))[0]) for name, loss in losses.items()}
    measured = [[loss(counts) for loss in losses.values()] for counts in _resamples(rows, seed)]
    resampled = {name: np.concatenate(parts) for name, parts in zip(losses, zip(*measured, strict=True), strict=True)}
    return Quality(
        metrics=measures(answered, truth),
        lost=max(by_metric.values()),
        interval=_interval(np.array(list(resampled.values())).max(axis=0)),
        by_metric=by_metric,
        changed=None if truth.classes is None else float(np.mean(_codes(answered, truth) != _codes(own, truth))),
        largest=float(np.abs(made - reference).max()),
        intervals={name: _interval(found) for name, found in resampled.items()},
    )


def measures(answered: Predictions, truth: Truth) -> dict[str, float]:
    """A model's metrics: accuracy, log_loss and, for two classes, roc_auc; or rmse and r2."""
    numbers = _numbers(answered, truth)
    if truth.classes is None:
        found = {"rmse": float(np.sqrt(np.mean((numbers - truth.values) ** 2)))}
        return found | ({"r2": float(sk.r2_score(truth.values, numbers))} if np.ptp(truth.values) else {})
    chance = numbers[np.arange(len(numbers)), truth.values].clip(_TINY, 1)
    found = {"accuracy": float(np.mean(_codes(answered, truth) == truth.values)), "log_loss": float(-np.log(chance).mean())}
    if _ranks(truth):
        found["roc_auc"] = float(_area(numbers[:, 1], truth)(np.ones((1, len(numbers))))[0])
    return found


def _resamples(rows: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each resample, [some resamples, rows] at a time; how many changes no draw.

    In blocks of eight, matrix products add up in the same order as over all resamples at once.
    """
    random = np.random.default_rng(seed)
    most = BLOCK_BYTES // (8 * rows)
    size = max(1, most // 8 * 8 or most)
    for start in range(0, RESAMPLES, size):
        count = min(size, RESAMPLES - start)
        draws = random.integers(0, rows, (count, rows)) + np.arange(count)[:, None] * rows
        yield np.bincount(draws.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _interval(resampled: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _losses(answered: Predictions, own: Predictions, truth: Truth) -> dict[str, Loss]:
    """Points lost by metric, each a function of how often every row counts: [resamples, rows] -> [resamples]."""
    if truth.classes is None:
        made, reference = ((_numbers(found, truth) - truth.values) ** 2 for found in (answered, own))
        return {"rmse": lambda counts: _growth(counts, made, reference, truth)}
    hits = [(_codes(found, truth) == truth.values).astype(np.float64) for found in (own, answered)]
    losses: dict[str, Loss] = {"accuracy": lambda counts: 100 * (counts @ (hits[0] - hits[1])) / counts.sum(axis=1)}
    if _ranks(truth):
        ours, theirs = (_area(_numbers(found, truth)[:, 1], truth) for found in (own, answered))
        losses["roc_auc"] = lambda counts: 100 * (ours(counts) - theirs(counts))
    return losses


def _growth(counts: np.ndarray, made: np.ndarray, reference: np.ndarray, truth: Truth) -> np.ndarray:
    """Percent by which the root mean squared error grows; of the values' spread where there is no error to grow."""
    rows = counts.sum(axis=1)
    after, before = np.sqrt(counts @ made / rows), np.sqrt(counts @ reference / rows)
    grown: np.ndarray = 100 * (after - before) / (before.clip(_TINY) if truth.known and reference.any() else truth.spread)
    return grown


def _area(scores: np.ndarray, truth: Truth) -> Loss:
    """Area under the ROC curve as a function of how often each row counts; equal scores count half."""
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], (truth.values[order] == 1).astype(np.float64)
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def area(counts: np.ndarray) -> np.ndarray:
        weights = counts[:, order]
        positives = np.add.reduceat(weights * positive, starts, axis=1)
        negatives = np.add.reduceat(weights, starts, axis=1) - positives
        below = np.cumsum(negatives, axis=1) - negatives / 2
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample without one of the classes has no curve
            found: np.ndarray = (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
        return found

    return area


def _ranks(truth: Truth) -> bool:
    return truth.classes is not None and len(truth.classes) == 2 and 0 < truth.values.sum() < len(truth.values)


def _numbers(found: Predictions, truth: Truth) -> np.ndarray:
    return np.asarray(found.values if truth.classes is None else found.probabilities, np.float64)


def _codes(found: Predictions, truth: Truth) -> np.ndarray:
    codes = {str(label): position for position, label in enumerate(truth.classes or ())}
    return np.array([codes[str(label)] for label in np.asarray(found.labels).tolist()], np.int64)

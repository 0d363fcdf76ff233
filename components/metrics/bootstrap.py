"""Confidence intervals by the percentile bootstrap, vectorized: all metrics of many resamples at once.

A resample of N rows with replacement is a vector of N counts, and every metric here is a function of counts. Most are sums (one
matrix product computes them for all resamples); ROC AUC and PR AUC are cumulative sums over rows sorted once by score.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Rows are resampled independently: if rows are
correlated (several of one customer), the intervals are too narrow.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from stagewright.components.metrics.metrics import CALIBRATION_BINS, METRICS, calibration_bins, row_brier, row_log_loss
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.schema import Task

RESAMPLES = 1000
LEAST_RESAMPLES = 200
LEVEL = 0.95
WORK = 50_000_000  # total counts to draw: larger splits get fewer resamples, but at least the minimum
BLOCK = 2_000_000  # counts in memory at once: 16 MB
# Sampling noise increases this error, and resampling adds noise: its resamples lie above the value and are no bounds.
_WITHOUT_INTERVAL = {"calibration_error"}
MOST_UNDEFINED = 0.1  # a metric that is undefined in more resamples than this gets no interval

Interval = tuple[float, float]
Resampled = dict[str, np.ndarray]  # metric -> [resamples], NaN where it is undefined


def intervals(outcome: Outcome, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> dict[str, Interval]:
    """Percentile interval of each metric. The calibration error has none, nor has a metric that is often undefined."""
    resampled = resample([outcome], resamples=resamples, seed=seed)[0]
    found = {name: _interval(values, level) for name, values in resampled.items() if name not in _WITHOUT_INTERVAL}
    return {name: interval for name, interval in found.items() if interval is not None}


def gain_interval(
    new: Outcome, old: Outcome, metric: str, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval | None:
    """Interval of the gain of `new` over `old` on the same rows: a paired bootstrap with the same resamples for both."""
    ours, theirs = resample([new, old], resamples=resamples, seed=seed)
    gains = ours[metric] - theirs[metric]
    return _interval(-gains if METRICS[metric].lower_is_better else gains, level)


def resample(outcomes: Sequence[Outcome], *, resamples: int = RESAMPLES, seed: int = 0) -> list[Resampled]:
    """Metrics of each outcome over the same resamples of their rows.

    Args:
        outcomes: Predictions of different models for the same rows.
        resamples: Number of resamples; fewer for a very large split.
        seed: Equal seeds give equal resamples.

    Returns:
        For each outcome, metric -> [resamples], NaN where it is undefined.
    """
    rows = len(outcomes[0])
    number = min(resamples, max(LEAST_RESAMPLES, WORK // max(rows, 1)))
    parts: list[list[Resampled]] = [[] for _ in outcomes]
    prepared = [weighted(outcome) for outcome in outcomes]
    for counts in _counts(rows, number, np.random.default_rng(seed)):
        for part, metrics in zip(parts, prepared, strict=True):
            part.append(metrics(counts))
    return [{name: np.concatenate([block[name] for block in part]) for name in part[0]} for part in parts]


def weighted(outcome: Outcome) -> "_Classification | _Regression":
    """The metrics of an outcome as a function of row weights [R, N]; sums and sort orders are prepared once."""
    return _Regression(outcome) if outcome.task is Task.REGRESSION else _Classification(outcome)


class _Classification:
    def __init__(self, outcome: Outcome) -> None:
        self.binary, classes = outcome.task is Task.BINARY, len(outcome.labels)
        codes = np.arange(classes)
        truth, predicted = outcome.truth[:, None] == codes, outcome.predicted[:, None] == codes
        bins, claimed, came_true = calibration_bins(outcome)
        off = np.where(bins[:, None] == np.arange(CALIBRATION_BINS), (claimed - came_true)[:, None], 0.0)
        losses = np.column_stack([row_log_loss(outcome), row_brier(outcome)])
        self.sums = np.hstack([truth & predicted, truth, predicted, off, losses]).astype(np.float64)
        self.cuts = np.cumsum([classes, classes, classes, CALIBRATION_BINS])
        scored = [1] if self.binary else codes
        self.rankings = [_Ranking(outcome.class_probabilities[:, code], outcome.truth == code) for code in scored]

    def __call__(self, weights: np.ndarray) -> Resampled:
        total = weights.sum(axis=1)
        hits, support, answered, off, losses = np.split(weights @ self.sums, self.cuts, axis=1)
        areas = np.array([ranking(weights) for ranking in self.rankings])  # [classes, 2, R]
        recall, precision = _ratio(hits, support), _ratio(hits, answered)
        return {
            "roc_auc": areas[:, 0].mean(axis=0),
            "pr_auc": areas[:, 1].mean(axis=0),
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": _mean_where(support > 0, recall),
            **self._by_class(precision, recall, _ratio(2 * hits, support + answered), (support + answered) > 0),
            "log_loss": losses[:, 0] / total,
            "brier": losses[:, 1] / total,
            "calibration_error": np.abs(off).sum(axis=1) / total,
        }

    def _by_class(self, precision: np.ndarray, recall: np.ndarray, f1: np.ndarray, occurs: np.ndarray) -> Resampled:
        named = {"precision": precision, "recall": recall, "f1": f1}
        if self.binary:
            return {name: values[:, 1] for name, values in named.items()}
        return {name: _mean_where(occurs, values) for name, values in named.items()}


class _Ranking:
    """Areas under the ROC curve and the precision-recall curve of one score, by cumulative sums over sorted rows."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # rows of equal score form one step of the curve
        self.positive = positive[self.order].astype(np.float64)

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ordered = weights[:, self.order]
        every = np.add.reduceat(ordered, self.starts, axis=1)
        ordered *= self.positive
        positives = np.add.reduceat(ordered, self.starts, axis=1)
        negatives = every - positives
        found, all_found = np.cumsum(positives, axis=1), np.cumsum(every, axis=1)
        total = found[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample without a class has no curve: NaN
            # Each negative of a step ranks below every positive of the earlier steps and half of the positives of its own step.
            roc_auc = (negatives * (found - positives / 2)).sum(axis=1) / (total * (all_found[:, -1] - total))
            precision = np.divide(found, all_found, out=np.zeros_like(found), where=all_found > 0)
            pr_auc = (positives * precision).sum(axis=1) / total
        return roc_auc, np.where(np.isnan(roc_auc), np.nan, pr_auc)


class _Regression:
    def __init__(self, outcome: Outcome) -> None:
        error = outcome.predicted - outcome.truth
        spread = outcome.truth - outcome.truth.mean()  # centered, so that the variance keeps its precision
        nonzero = outcome.truth != 0
        share = np.divide(np.abs(error), np.abs(outcome.truth), out=np.zeros_like(error), where=nonzero)
        self.sums = np.column_stack([np.abs(error), error**2, spread, spread**2, share, nonzero])

    def __call__(self, weights: np.ndarray) -> Resampled:
        total = weights.sum(axis=1)
        absolute, squared, spread, spread2, share, nonzero = (weights @ self.sums).T
        variance = spread2 - spread**2 / total
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "rmse": np.sqrt(squared / total),
                "mae": absolute / total,
                "r2": np.where(variance > 1e-12 * np.maximum(spread2, 1e-300), 1 - squared / variance, np.nan),
                "mape": share / nonzero,
            }


def _counts(rows: int, resamples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each row is drawn, in blocks of resamples: [block, rows] float64."""
    block = max(1, BLOCK // max(rows, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = random.integers(0, rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _interval(values: np.ndarray, level: float) -> Interval | None:
    defined = values[np.isfinite(values)]
    if len(defined) == 0 or len(defined) < (1 - MOST_UNDEFINED) * len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _mean_where(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    return _ratio((values * mask).sum(axis=1), mask.sum(axis=1).astype(np.float64))

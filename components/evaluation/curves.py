"""Points of the curves for plots and for Kubeflow: few and finite."""

from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

from stagewright.components.metrics.metrics import CALIBRATION_BINS, calibration_bins
from stagewright.components.metrics.outcome import Outcome

POINTS = 200


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, and the threshold of each point."""

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray


def roc(positive: np.ndarray, scores: np.ndarray, *, points: int = POINTS) -> Curve:
    """False positive rate and recall; the first threshold is 1 instead of scikit-learn's infinity, which JSON does not support.

    Args:
        positive: [N] bool.
        scores: [N] float.
    """
    false, true, thresholds = sk.roc_curve(positive, scores)
    return _thin(Curve(false, true, np.minimum(thresholds, 1.0)), points)


def precision_recall(positive: np.ndarray, scores: np.ndarray, *, points: int = POINTS) -> Curve:
    """Recall and precision of `positive`, [N] bool, by `scores`, [N]."""
    precision, recall, thresholds = sk.precision_recall_curve(positive, scores, drop_intermediate=True)
    return _thin(Curve(recall, precision, np.append(thresholds, 1.0)), points)


def _thin(curve: Curve, points: int) -> Curve:
    """The curve reduced to at most `points` of its own points, evenly spaced along its length, with both ends."""
    if len(curve.x) <= points:
        return curve
    length = np.r_[0.0, np.cumsum(np.hypot(np.diff(curve.x), np.diff(curve.y)))]
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)).clip(0, len(length) - 1))
    kept[-1] = len(length) - 1
    return Curve(curve.x[kept], curve.y[kept], curve.thresholds[kept])


def confusion(outcome: Outcome) -> np.ndarray:
    """[C, C] number of rows by true class (row) and predicted class (column)."""
    classes = len(outcome.labels)
    return np.bincount(outcome.truth * classes + outcome.predicted, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted probability and observed frequency by bins of equal width; empty bins are left out.

    Attributes:
        low: Lower end of the 95 % Wilson interval of `observed`.
        high: Upper end.
    """

    claimed: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


def reliability(outcome: Outcome) -> Reliability:
    """Points of the calibration plot; Wilson intervals (1927), which are valid for few rows and at 0 and 1."""
    bins, claimed, came_true = calibration_bins(outcome)
    rows = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = rows > 0
    number = rows[filled]
    observed = np.bincount(bins, weights=came_true, minlength=CALIBRATION_BINS)[filled] / number
    mean = np.bincount(bins, weights=claimed, minlength=CALIBRATION_BINS)[filled] / number
    z = 1.959964
    scale = 1 + z**2 / number
    center = (observed + z**2 / (2 * number)) / scale
    half = z * np.sqrt(observed * (1 - observed) / number + z**2 / (4 * number**2)) / scale
    return Reliability(mean, observed, center - half, center + half, number)

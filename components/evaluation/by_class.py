"""Metrics of each class of a classifier."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn import metrics as sk

from stagewright.components.metrics.outcome import Label, Outcome


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class against the rest; None where a metric is undefined.

    Attributes:
        rows: Rows of this class: its support.
        answered: Rows that are predicted as this class.
        precision: Share of the rows predicted as this class that belong to it; None if there are none.
        recall: Share of its rows that are predicted correctly; None if there are none.
        f1: Harmonic mean of both; 0 if one of them is 0 or None, None if both are.
        roc_auc: ROC AUC of its probability; None if all rows or no rows belong to it.
        pr_auc: Average precision of its probability; None like `roc_auc`.
    """

    label: Label
    rows: int
    answered: int
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    pr_auc: float | None

    def document(self) -> dict[str, Any]:
        """The scores as JSON."""
        return asdict(self)


def by_class(outcome: Outcome) -> list[ClassScores]:
    """The metrics of every class, in the order of the model's classes."""
    classes = len(outcome.labels)
    rows = np.bincount(outcome.truth, minlength=classes)
    answered = np.bincount(outcome.predicted, minlength=classes)
    right = np.bincount(outcome.truth[outcome.truth == outcome.predicted], minlength=classes)
    return [
        ClassScores(
            label, int(rows[code]), int(answered[code]), _share(right[code], answered[code]), _share(right[code], rows[code]),
            _share(2 * right[code], rows[code] + answered[code]),
            *_areas(outcome.truth == code, outcome.class_probabilities[:, code]),
        )
        for code, label in enumerate(outcome.labels)
    ]  # fmt: skip


def most_frequent(scores: Sequence[ClassScores], most: int) -> list[ClassScores]:
    """The classes with the most rows, at most `most`, in the order of the model's classes."""
    kept = sorted(range(len(scores)), key=lambda code: (-scores[code].rows, code))[:most]
    return [scores[code] for code in sorted(kept)]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _areas(positive: np.ndarray, scores: np.ndarray) -> tuple[float | None, float | None]:
    if not 0 < positive.sum() < len(positive):
        return None, None
    return float(sk.roc_auc_score(positive, scores)), float(sk.average_precision_score(positive, scores))

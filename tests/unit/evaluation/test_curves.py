import json

import numpy as np
import pytest
from sklearn import metrics as sk
from unit.evaluation.outcomes import binary, multiclass

from stagewright.components.evaluation import curves


def test_roc_is_thin_finite_and_true_to_the_whole() -> None:
    outcome = binary(20_000)
    scores = outcome.class_probabilities[:, 1] + np.random.default_rng(0).normal(scale=1e-4, size=len(outcome))
    curve = curves.roc(outcome.truth == 1, scores.clip(0, 1))

    assert len(curve.x) <= curves.POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert sk.auc(curve.x, curve.y) == pytest.approx(sk.roc_auc_score(outcome.truth, scores), abs=2e-3)
    assert np.all(np.diff(curve.thresholds) <= 0)
    json.dumps(curve.thresholds.tolist(), allow_nan=False)


def test_precision_recall_is_thin_and_keeps_its_ends() -> None:
    outcome = binary(20_000)
    scores = outcome.class_probabilities[:, 1] + np.random.default_rng(0).normal(scale=1e-4, size=len(outcome))
    curve = curves.precision_recall(outcome.truth == 1, scores)

    assert len(curve.x) <= curves.POINTS
    assert (curve.x[0], curve.x[-1], curve.y[-1]) == (1, 0, 1)


def test_confusion_is_scikit_learns() -> None:
    outcome = multiclass()

    assert curves.confusion(outcome).tolist() == sk.confusion_matrix(outcome.truth, outcome.predicted).tolist()


def test_wilson_intervals_are_those_of_the_tables() -> None:
    # 9 of 10: 0.5958 to 0.9821 (Newcombe, 1998, method 3).
    outcome = binary(10, share=0.0)
    probabilities = np.full((10, 2), 0.5)
    truth = np.array([1] * 9 + [0])
    points = curves.reliability(type(outcome)(outcome.task, truth, truth, probabilities, outcome.classes))

    assert (points.low[0], points.high[0]) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert points.rows.tolist() == [10]

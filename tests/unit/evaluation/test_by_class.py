"""Each class in numbers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score
from unit.evaluation import outcomes

from stagewright.components.evaluation.by_class import ClassScores, by_class, most_frequent
from stagewright.components.metrics.metrics import measure
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.schema import Task


def test_scores_of_few_rows_counted_by_hand() -> None:
    truth, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.6, 0.2, 0.2]]
    )
    probabilities = np.column_stack([probabilities, np.zeros(6)])

    a, b, c, d = by_class(Outcome(Task.MULTICLASS, truth, predicted, probabilities, ("a", "b", "c", "d")))

    assert a == ClassScores("a", 3, 4, 2 / 4, 2 / 3, 4 / 7, 7 / 9, pytest.approx((1 + 1 + 3 / 5) / 3))
    assert b == ClassScores("b", 2, 2, 0.5, 0.5, 0.5, 7 / 8, pytest.approx((1 + 2 / 3) / 2))
    assert c == ClassScores("c", 1, 0, None, 0.0, 0.0, 1.0, 1.0)
    assert d == ClassScores("d", 0, 0, None, None, None, None, None)


def test_scores_are_those_of_scikit_learn_and_average_to_the_metrics() -> None:
    outcome = outcomes.multiclass(600, 9, seed=3)
    found, whole = by_class(outcome), measure(outcome).values
    expected = precision_recall_fscore_support(outcome.truth, outcome.predicted, labels=range(9), zero_division=0)

    assert [[one.precision, one.recall, one.f1, one.rows] for one in found] == [
        pytest.approx(list(values)) for values in zip(*expected, strict=True)
    ]
    assert np.mean([one.f1 for one in found]) == pytest.approx(whole["f1"])
    assert np.mean([one.roc_auc for one in found]) == pytest.approx(whole["roc_auc"])
    assert np.mean([one.pr_auc for one in found]) == pytest.approx(whole["pr_auc"])


def test_the_second_of_two_classes_has_the_metrics_of_the_model() -> None:
    outcome = outcomes.binary()
    no, yes = by_class(outcome)
    whole = measure(outcome).values

    assert (no.label, yes.label) == ("No", "Yes")
    assert [yes.precision, yes.recall, yes.f1, yes.roc_auc, yes.pr_auc] == pytest.approx(
        [whole[name] for name in ("precision", "recall", "f1", "roc_auc", "pr_auc")]
    )
    assert no.roc_auc == pytest.approx(roc_auc_score(outcome.truth == 0, outcome.class_probabilities[:, 0]))
    assert no.pr_auc == pytest.approx(average_precision_score(outcome.truth == 0, outcome.class_probabilities[:, 0]))


def test_the_most_frequent_classes_stay_in_their_order() -> None:
    scores = [ClassScores(name, rows, 0, None, None, None, None, None) for name, rows in zip("abcd", (5, 9, 5, 7), strict=True)]

    assert [one.label for one in most_frequent(scores, 3)] == ["a", "b", "d"]
    assert [one.label for one in most_frequent(scores, 4)] == ["a", "b", "c", "d"]

"""What an evaluation says on the console: classes never predicted, R² below zero, a champion that cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest

from stagewright.components.evaluation.champion import Champion
from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.evaluation.record import to_log
from stagewright.components.evaluation.remarks import remarks
from stagewright.components.metrics.metrics import Measured
from stagewright.components.metrics.outcome import Outcome, classification
from stagewright.components.runtime.schema import Task


@pytest.fixture(scope="module")
def evaluated(churn_model) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return evaluate(churn_model.model, **churn_model.splits, name="churn", compare_with_champion=False)


def with_test(evaluation: Evaluation, test: Outcome, **values: float) -> Evaluation:
    measured = evaluation.measured | ({"test": Measured(values)} if values else {})
    return replace(evaluation, task=test.task, outcomes=evaluation.outcomes | {"test": test}, measured=measured)


def answered(classes: tuple, answers: list[int], rows: int = 1200) -> Outcome:
    """The first class for every row, but a row for each of `answers`."""
    codes = np.zeros(rows, dtype=int)
    codes[: len(answers)] = answers
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    labels = [classes[code] for code in codes]
    return classification(task, classes, [classes[0]] * rows, labels, np.full((rows, len(classes)), 0.5), split="test")


def test_a_good_model_has_nothing_to_say(evaluated: Evaluation) -> None:
    assert remarks(evaluated) == []


@pytest.mark.parametrize(
    ("classes", "answers", "sentence"),
    [
        (
            ("No", "Yes"),
            [],
            "class 'Yes' is never predicted for 1,200 test rows; see class_weight=balanced or another threshold",
        ),
        (("No", "Yes"), [1], ""),
        (
            (False, True),
            [],
            "class 'true' is never predicted for 1,200 test rows; see class_weight=balanced or another threshold",
        ),
        ((0, 1, 2), [2], "class '1' is never predicted for 1,200 test rows; see class_weight=balanced"),
        ((0, 1, 2), [], "classes '1', '2' are never predicted for 1,200 test rows; see class_weight=balanced"),
        ((0, 1, 2), [1, 2], ""),
        (
            tuple("abcdef"),
            [],
            "classes 'b', 'c', 'd', 'e', 'f' are never predicted for 1,200 test rows; see class_weight=balanced",
        ),
        (
            tuple("abcdefg"),
            [],
            "classes 'b', 'c', 'd', 'e', 'f' and 1 more are never predicted for 1,200 test rows; see class_weight=balanced",
        ),
    ],
)
def test_classes_that_no_row_is_answered_with(evaluated: Evaluation, classes: tuple, answers: list[int], sentence: str) -> None:
    assert remarks(with_test(evaluated, answered(classes, answers))) == ([sentence] if sentence else [])


@pytest.mark.parametrize(("r2", "said"), [(-0.0004, True), (0.0, False), (0.3, False)])
def test_a_regression_worse_than_the_mean(evaluated: Evaluation, r2: float, said: bool) -> None:
    numbers = Outcome(Task.REGRESSION, np.arange(3.0), np.arange(3.0))

    found = remarks(with_test(evaluated, numbers, r2=r2))

    sentence = f"R² is {r2:.3f} on the test split, below zero: the mean of the target would predict better than the model"
    assert found == ([sentence] if said else [])


def test_a_champion_that_cannot_be_compared(evaluated: Evaluation) -> None:
    known = Champion("v1.0.0", "s3://models/churn/v1.0.0/", True)
    unknown = Champion("v1.0.0", "s3://models/churn/v1.0.0/", False, "it predicts something else")

    assert remarks(replace(evaluated, champion=known)) == []
    assert remarks(replace(evaluated, champion=unknown)) == [
        "champion v1.0.0 could not be compared, so the gate passes without it: it predicts something else"
    ]


def test_remarks_are_notices(evaluated: Evaluation, caplog: pytest.LogCaptureFixture) -> None:
    never = with_test(evaluated, answered(("No", "Yes"), []))

    to_log(never)

    notices = [record.fields["message"] for record in caplog.records if record.message == "notice"]  # type: ignore[attr-defined]
    assert notices == remarks(never)
    assert len(notices) == 1

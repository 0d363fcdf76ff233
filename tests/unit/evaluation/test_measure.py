import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from unit.evaluation.outcomes import binary, multiclass, numbers

from stagewright.components.metrics.metrics import METRICS, calibration_bins, main_metric, measure, of_task
from stagewright.components.metrics.outcome import Outcome, classification, known_rows, regression
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task

IN_UNIT_RANGE = {"roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "calibration_error"}


def test_binary_metrics_are_scikit_learns() -> None:
    outcome = binary()
    truth, predicted, scores = outcome.truth, outcome.predicted, outcome.class_probabilities[:, 1]

    values = measure(outcome).values

    assert values == pytest.approx({
        "roc_auc": sk.roc_auc_score(truth, scores),
        "pr_auc": sk.average_precision_score(truth, scores),
        "accuracy": sk.accuracy_score(truth, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
        "precision": sk.precision_score(truth, predicted),
        "recall": sk.recall_score(truth, predicted),
        "f1": sk.f1_score(truth, predicted),
        "log_loss": sk.log_loss(truth, scores),
        "brier": sk.brier_score_loss(truth, scores),
        "calibration_error": values["calibration_error"],
    })  # fmt: skip


def test_multiclass_metrics_are_scikit_learns() -> None:
    outcome = multiclass()
    truth, predicted, probabilities = outcome.truth, outcome.predicted, outcome.class_probabilities

    values = measure(outcome).values

    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))
    assert values["f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    assert values["precision"] == pytest.approx(sk.precision_score(truth, predicted, average="macro"))
    assert values["recall"] == pytest.approx(sk.recall_score(truth, predicted, average="macro"))
    assert values["log_loss"] == pytest.approx(sk.log_loss(truth, probabilities))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(truth, probabilities))
    assert values["pr_auc"] == pytest.approx(
        np.mean([sk.average_precision_score(truth == code, probabilities[:, code]) for code in range(4)])
    )


def test_regression_metrics_are_scikit_learns() -> None:
    outcome = numbers()

    assert measure(outcome).values == pytest.approx({
        "rmse": sk.root_mean_squared_error(outcome.truth, outcome.predicted),
        "mae": sk.mean_absolute_error(outcome.truth, outcome.predicted),
        "r2": sk.r2_score(outcome.truth, outcome.predicted),
        "mape": sk.mean_absolute_percentage_error(outcome.truth, outcome.predicted),
    })  # fmt: skip


def test_calibration_error_counts_bin_by_bin() -> None:
    outcome = binary(1000)
    bins, claimed, came_true = calibration_bins(outcome)
    by_hand = sum(
        (bins == number).mean() * abs(claimed[bins == number].mean() - came_true[bins == number].mean())
        for number in np.unique(bins)
    )

    assert measure(outcome).values["calibration_error"] == pytest.approx(by_hand)


def test_probability_of_one_is_in_the_last_bin() -> None:
    outcome = classification(Task.BINARY, (0, 1), [1, 0], [1, 0], np.array([[0.0, 1.0], [1.0, 0.0]]), split="test")

    assert calibration_bins(outcome)[0].tolist() == [9, 0]
    assert measure(outcome).values["calibration_error"] == 0


def test_mape_leaves_out_zeros() -> None:
    outcome = regression([0.0, 2.0, 4.0], np.array([5.0, 1.0, 4.0]), split="test")

    assert measure(outcome).values["mape"] == pytest.approx(0.25)


def test_metrics_without_a_value_are_absent_with_the_reason() -> None:
    one_class = binary().take(binary().truth == 1)
    constant = regression([0.0, 0.0], np.array([1.0, 2.0]), split="test")
    two_of_three = multiclass(classes=3)
    two_of_three = two_of_three.take(two_of_three.truth != 2)

    assert measure(one_class).absent == dict.fromkeys(("roc_auc", "pr_auc"), "all rows are of class 'Yes'")
    assert {"accuracy", "log_loss", "f1"} <= measure(one_class).values.keys()
    assert measure(constant).absent == {"r2": "all true values are the same", "mape": "all true values are zero"}
    assert measure(two_of_three).absent == dict.fromkeys(("roc_auc", "pr_auc"), "no row is of class '2'")


def test_no_rows_have_no_metrics() -> None:
    nothing = measure(binary().take(np.zeros(400, dtype=bool)))

    assert nothing.values == {}
    assert set(nothing.absent.values()) == {"there are no rows"}


def test_main_metric_falls_back_where_a_class_is_missing() -> None:
    whole, one_class = measure(binary()), measure(binary().take(binary().truth == 1))

    assert main_metric(Task.BINARY, whole).name == "roc_auc"
    assert main_metric(Task.BINARY, whole, one_class).name == "log_loss"
    assert main_metric(Task.REGRESSION, measure(numbers())).name == "rmse"


def test_gain_points_up_for_scores_and_down_for_errors() -> None:
    assert METRICS["roc_auc"].gain(0.9, 0.8) == pytest.approx(0.1)
    assert METRICS["rmse"].gain(2.0, 3.0) == 1.0


@given(rows=st.integers(2, 60), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_metrics_stay_in_their_range(rows: int, seed: int) -> None:
    for outcome in (binary(rows, seed=seed), multiclass(rows, 3, seed=seed), numbers(rows, seed=seed)):
        found = measure(outcome)

        assert found.values.keys() | found.absent.keys() == {metric.name for metric in of_task(outcome.task)}
        assert not found.values.keys() & found.absent.keys()
        for name, value in found.values.items():
            assert np.isfinite(value)
            if METRICS[name].lower_is_better:
                assert value >= 0
            if name in IN_UNIT_RANGE:
                assert -1e-12 <= value <= 1 + 1e-12


@given(seed=st.integers(0, 10_000), power=st.sampled_from([0.3, 0.5, 2.0, 3.0]))
@settings(max_examples=40, deadline=None)
def test_ranking_metrics_only_see_the_order(seed: int, power: float) -> None:
    outcome = binary(seed=seed)
    bent = outcome.class_probabilities[:, 1] ** power
    moved = Outcome(Task.BINARY, outcome.truth, outcome.predicted, np.column_stack([1 - bent, bent]), outcome.classes)

    before, after = measure(outcome).values, measure(moved).values

    assert after["roc_auc"] == pytest.approx(before["roc_auc"])
    assert after["pr_auc"] == pytest.approx(before["pr_auc"])


@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_errors_scale_with_the_unit_and_r2_does_not(seed: int, factor: float) -> None:
    outcome = numbers(seed=seed)
    scaled = regression(outcome.truth * factor, outcome.predicted * factor, split="test")

    before, after = measure(outcome).values, measure(scaled).values

    assert after["rmse"] == pytest.approx(before["rmse"] * factor)
    assert after["r2"] == pytest.approx(before["r2"])
    assert after["mape"] == pytest.approx(before["mape"])


def test_unknown_class_names_it_and_what_is_known() -> None:
    with pytest.raises(InputError, match=r"the test split has target values .* not trained on: 'Maybe'; it knows 'No', 'Yes'"):
        classification(Task.BINARY, ("No", "Yes"), ["No", "Maybe"], ["No", "No"], np.full((2, 2), 0.5), split="test")


def test_answers_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 rows of the validation split have a target or an answer that is not a finite"):
        regression([1.0, 2.0], np.array([np.nan, 1.0]), split="validation")


def test_rows_without_a_target_are_left_out() -> None:
    table = pl.DataFrame({"x": [1, 2, 3], "y": [1.0, None, float("nan")]})

    assert known_rows(table, "y", split="test")["x"].to_list() == [1]
    with pytest.raises(InputError, match="the test split has no row with a value of 'y'"):
        known_rows(table[1:], "y", split="test")
    with pytest.raises(InputError, match="the test split has no column 'z', which the model predicts"):
        known_rows(table, "z", split="test")


def test_classes_may_be_booleans_stored_as_such() -> None:
    outcome = classification(
        Task.BINARY, (False, True), [True, False], np.array([True, True]), np.array([[0.2, 0.8], [0.4, 0.6]]), split="test"
    )

    assert outcome.truth.tolist() == [1, 0]
    assert measure(outcome).values["accuracy"] == 0.5

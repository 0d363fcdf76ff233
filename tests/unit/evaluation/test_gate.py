import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.outcomes import binary, multiclass, numbers

from stagewright.components.evaluation import gate
from stagewright.components.evaluation.champion import Champion
from stagewright.components.metrics.metrics import METRICS, Measured, measure
from stagewright.components.runtime.errors import BadParameter, GateFailed
from stagewright.components.runtime.schema import Task

TEST = Measured({"roc_auc": 0.75, "log_loss": 0.5}, {"f1": "there are no rows"})


def test_scores_have_a_minimum_and_errors_a_maximum() -> None:
    checks = gate.threshold_checks({"roc_auc": 0.8, "log_loss": 0.4}, TEST)

    assert [check.failure for check in checks] == [
        "roc_auc is 0.7500, at least 0.8 is wanted",
        "log_loss is 0.5000, at most 0.4 is wanted",
    ]
    assert all(check.passed for check in gate.threshold_checks({"roc_auc": 0.75, "log_loss": 0.5}, TEST))


def test_a_threshold_on_a_metric_without_value_fails_with_the_reason() -> None:
    assert gate.threshold_checks({"f1": 0.5}, TEST)[0].failure == "f1 is unknown (there are no rows), at least 0.5 is wanted"


def test_a_near_miss_is_shown_with_enough_digits() -> None:
    check = gate.threshold_checks({"roc_auc": 0.8}, Measured({"roc_auc": 0.7999999}))[0]

    assert check.failure == "roc_auc is 0.7999999, at least 0.8 is wanted"


@given(low=st.floats(-2, 2), more=st.floats(0, 2), found=st.floats(-2, 2), name=st.sampled_from(sorted(METRICS)))
@settings(max_examples=200)
def test_a_gate_that_fails_still_fails_when_more_is_asked(low: float, more: float, found: float, name: str) -> None:
    stricter = low - more if METRICS[name].lower_is_better else low + more
    measured = Measured({name: found})

    lenient, strict = (gate.threshold_checks({name: limit}, measured)[0].passed for limit in (low, stricter))

    assert lenient or not strict


def test_unknown_metric_names_the_nearest_and_what_fits() -> None:
    with pytest.raises(
        BadParameter, match=r"'minimum' is 'rocauc'; expected metrics of a binary model .*did you mean 'roc_auc'"
    ):
        gate.parse_minimum({"rocauc": 0.8}, Task.BINARY)
    with pytest.raises(BadParameter, match="'minimum' is 'rmse'; expected a metric that fits a binary model: roc_auc, pr_auc"):
        gate.parse_minimum({"rmse": 3}, Task.BINARY)


@pytest.mark.parametrize("threshold", ["0.8", True, None, math.nan, math.inf, [0.8]])
def test_thresholds_must_be_finite_numbers(threshold: object) -> None:
    with pytest.raises(BadParameter, match=r"'minimum.roc_auc' is .*; expected a finite number"):
        gate.parse_minimum({"roc_auc": threshold}, Task.BINARY)


def test_thresholds_may_be_whole_numbers() -> None:
    assert gate.parse_minimum({"rmse": 50}, Task.REGRESSION) == {"rmse": 50.0}


def test_trivial_baseline_of_two_classes_is_chance() -> None:
    outcome = binary(2000)
    baseline = measure(gate.baseline_outcome(outcome, outcome)).values

    assert baseline["roc_auc"] == 0.5
    assert baseline["accuracy"] == pytest.approx(max(outcome.truth.mean(), 1 - outcome.truth.mean()))
    share = outcome.truth.mean()
    assert baseline["log_loss"] == pytest.approx(-(share * np.log(share) + (1 - share) * np.log(1 - share)))


def test_trivial_baseline_of_a_regression_is_the_mean_of_training() -> None:
    train, test = numbers(seed=1), numbers(seed=2)

    assert set(gate.baseline_outcome(train, test).predicted) == {train.truth.mean()}
    assert measure(gate.baseline_outcome(test, test)).values["r2"] == pytest.approx(0.0)


def test_a_model_must_beat_the_baseline() -> None:
    metric = METRICS["rmse"]
    good, equal = (gate.baseline_check(metric, Measured({"rmse": value}), Measured({"rmse": 2.0})) for value in (1.9, 2.0))

    assert good.passed
    assert equal.failure == "rmse is 2.000, no better than 2.000 of a model that learned nothing"


def test_baseline_of_many_classes_has_the_shares_of_training() -> None:
    outcome = multiclass()
    shares = np.bincount(outcome.truth) / len(outcome)

    assert gate.baseline_outcome(outcome, outcome).class_probabilities[0] == pytest.approx(shares)


def _champion(gain: float, interval: tuple[float, float] | None) -> Champion:
    measured = {"measured": TEST, "metric": METRICS["roc_auc"]}
    return Champion("v1.0.0", "s3://models/churn/v1.0.0/", True, **measured, gain=gain, interval=interval)


def test_only_a_model_worse_beyond_chance_loses_to_the_champion() -> None:
    better, close, worse = (_champion(0.02, (0.01, 0.03)), _champion(-0.01, (-0.03, 0.01)), _champion(-0.02, (-0.03, -0.01)))
    checks = [gate.champion_check(champion) for champion in (better, close, worse)]

    assert [check is not None and check.passed for check in checks] == [True, True, False]
    assert checks[2] is not None
    assert checks[2].failure == "roc_auc is worse than that of champion v1.0.0: gain -0.02 (-0.03 to -0.01)"
    assert gate.champion_check(Champion("v1", "", False, "it predicts something else")) is None


def test_a_failing_gate_lists_every_failure() -> None:
    checks = (*gate.threshold_checks({"roc_auc": 0.8, "log_loss": 0.4}, TEST),)

    with pytest.raises(GateFailed, match=r"model 'churn' did not pass: roc_auc is 0.75.*; log_loss is 0.5") as failed:
        gate.Gate(checks).require("model 'churn'")
    assert len(failed.value.failures) == 2
    assert gate.Gate(()).passed

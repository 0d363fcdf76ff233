import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.outcomes import binary, multiclass, numbers

from stagewright.components.evaluation import gate
from stagewright.components.evaluation.champion import Champion
from stagewright.components.metrics.metrics import METRICS, Measured, measure
from stagewright.components.metrics.outcome import Outcome, classification
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


def two_classes(no: int, yes: int) -> Outcome:
    truth = [0] * no + [1] * yes
    return classification(Task.BINARY, (0, 1), truth, truth, np.full((no + yes, 2), 0.5), split="test")


@pytest.mark.parametrize(("yes", "answer"), [(1, 0), (2, 1), (3, 1)])
def test_a_baseline_answers_the_second_of_two_classes_from_a_share_of_one_half(yes: int, answer: int) -> None:
    baseline = gate.baseline_outcome(two_classes(4 - yes, yes), two_classes(1, 1))

    assert baseline.predicted.tolist() == [answer, answer]
    assert baseline.class_probabilities.tolist() == [[1 - yes / 4, yes / 4]] * 2


def test_a_baseline_of_many_classes_answers_the_most_frequent() -> None:
    outcome = multiclass()

    assert set(gate.baseline_outcome(outcome, outcome).predicted) == {int(np.bincount(outcome.truth).argmax())}


@pytest.mark.parametrize(
    ("metric", "ours", "passed", "required"),
    [("rmse", 1.9, True, "below 2.000"), ("rmse", 2.0, False, "below 2.000"), ("rmse", 2.1, False, "below 2.000"),
     ("r2", 2.1, True, "above 2.000"), ("r2", 2.0, False, "above 2.000")],
)  # fmt: skip
def test_a_baseline_is_beaten_by_less_of_an_error_or_more_of_a_score(
    metric: str, ours: float, passed: bool, required: str
) -> None:
    check = gate.baseline_check(METRICS[metric], Measured({metric: ours}), Measured({metric: 2.0}))

    assert (check.passed, check.required) == (passed, required)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (Measured({}, {"r2": "it is constant"}), Measured({"r2": 1.0}), "it is constant"),
        (Measured({"r2": 1.0}), Measured({}), "it was not measured"),
    ],
)
def test_what_is_unknown_beats_no_baseline(ours: Measured, theirs: Measured, reason: str) -> None:
    check = gate.baseline_check(METRICS["r2"], ours, theirs)

    assert check.failure == f"r2 is unknown ({reason}), so it beats no baseline"


@pytest.mark.parametrize(
    ("gain", "interval", "passed", "measured"),
    [
        (-0.01, (-0.02, 0.0), True, "-0.01 (-0.02 to +0)"),
        (-0.01, (-0.02, -1e-9), False, "-0.01 (-0.02 to -1e-09)"),
        (0.0, None, True, "+0"),
        (-1e-9, None, False, "-1e-09"),
    ],
)
def test_the_gain_over_a_champion_may_be_zero_and_no_less(
    gain: float, interval: tuple[float, float] | None, passed: bool, measured: str
) -> None:
    check = gate.champion_check(_champion(gain, interval))

    assert check is not None
    assert (check.passed, check.measured) == (passed, measured)
    assert check.required == "not below 0 beyond chance"


@pytest.mark.parametrize("unknown", [{"comparable": False}, {"metric": None}, {"gain": None}])
def test_there_is_no_check_where_there_is_nothing_to_compare(unknown: dict[str, object]) -> None:
    assert gate.champion_check(replace(_champion(0.1, None), **unknown)) is None


@pytest.mark.parametrize(
    ("found", "limit", "shown"),
    [
        (0.5, 0.5, "0.5000"),
        (0.7, 0.8, "0.7000"),
        (0.80001, 0.8, "0.80001"),
        (0.80001234, 0.8, "0.800012"),
        (0.8000012345, 0.8, "0.800001"),
        (0.80000001234, 0.8, "0.800000012"),
        (0.80000000001234, 0.8, "0.800000000012"),
        (0.799999999, 0.8, "0.799999999"),
        (0.799999999999, 0.8, "0.799999999999"),
        (0.8000000000000002, 0.8, "0.8000000000000002"),
    ],
)
def test_a_number_has_as_many_digits_as_tell_it_from_the_limit(found: float, limit: float, shown: str) -> None:
    assert gate._shown(found, limit) == shown


def test_a_gate_as_json_says_of_each_check_whether_it_passed() -> None:
    found = gate.Gate(tuple(gate.threshold_checks({"roc_auc": 0.8, "log_loss": 0.6}, TEST))).document()

    assert (found["passed"], found["failures"]) == (False, ["roc_auc is 0.7500, at least 0.8 is wanted"])
    assert [check["passed"] for check in found["checks"]] == [False, True]

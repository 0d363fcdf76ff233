import time

import numpy as np
import pytest
from unit.evaluation.outcomes import binary, multiclass, numbers

from stagewright.components.metrics import bootstrap
from stagewright.components.metrics.metrics import measure
from stagewright.components.metrics.outcome import Outcome, regression


@pytest.mark.parametrize("outcome", [binary(), multiclass(), multiclass(classes=3, seed=5), numbers()])
def test_weighted_metrics_equal_those_of_the_rows_they_stand_for(outcome: Outcome) -> None:
    random = np.random.default_rng(3)
    metrics = bootstrap.weighted(outcome)
    for _ in range(20):
        rows = random.integers(0, len(outcome), len(outcome))
        weights = np.bincount(rows, minlength=len(outcome))[None].astype(float)

        vectorized = {name: values[0] for name, values in metrics(weights).items()}

        assert vectorized == pytest.approx(measure(outcome.take(rows)).values)


def test_intervals_hold_the_value_and_narrow_with_more_rows() -> None:
    few, many = binary(200), binary(3000)
    for outcome in (few, many):
        values = measure(outcome).values
        for name, (low, high) in bootstrap.intervals(outcome).items():
            assert low <= values[name] <= high, name

    widths = [high - low for low, high in (bootstrap.intervals(outcome)["roc_auc"] for outcome in (few, many))]
    assert widths[1] < widths[0] / 2


def test_equal_seeds_give_equal_intervals() -> None:
    assert bootstrap.intervals(binary(), seed=4) == bootstrap.intervals(binary(), seed=4)
    assert bootstrap.intervals(binary(), seed=4) != bootstrap.intervals(binary(), seed=5)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    # Of normal errors with standard deviation 0.5 the true RMSE is 0.5 and the true mean absolute error 0.5 * sqrt(2 / pi).
    truth = {"rmse": 0.5, "mae": 0.5 * np.sqrt(2 / np.pi)}
    covered = dict.fromkeys(truth, 0)
    samples = 300
    for seed in range(samples):
        random = np.random.default_rng(seed)
        target = random.normal(size=150)
        found = bootstrap.intervals(
            regression(target, target + 0.5 * random.normal(size=150), split="test"), resamples=300, seed=seed
        )
        for name, value in truth.items():
            covered[name] += found[name][0] <= value <= found[name][1]

    # 95 % nominal; the percentile bootstrap is a little short of it for few rows. Three standard errors are 0.04.
    for name, count in covered.items():
        assert 0.89 <= count / samples <= 0.985, name


def test_interval_of_auc_covers_the_truth() -> None:
    # Scores of two normal distributions a distance d apart have ROC AUC = Phi(d / sqrt(2)); d = 1 gives 0.7602.
    covered = 0
    for seed in range(200):
        low, high = bootstrap.intervals(binary(250, seed=seed, signal=1.0), resamples=300, seed=seed)["roc_auc"]
        covered += low <= 0.7602 <= high

    assert 0.89 <= covered / 200 <= 0.99


def test_undefined_metrics_have_no_interval() -> None:
    outcome = binary()
    one_class = bootstrap.intervals(outcome.take(outcome.truth == 1))
    rare = np.flatnonzero(outcome.truth == 1)[:1]
    nearly = bootstrap.intervals(outcome.take(np.r_[np.flatnonzero(outcome.truth == 0), rare]))

    assert "roc_auc" not in one_class
    assert "accuracy" in one_class
    assert "roc_auc" not in nearly  # every third resample misses the only row of its class


def test_calibration_error_has_no_interval() -> None:
    assert "calibration_error" not in bootstrap.intervals(binary())


def test_paired_difference_is_sharper_than_its_parts() -> None:
    worse = numbers(noise=0.5)
    better = regression(worse.truth, worse.truth + 0.9 * (worse.predicted - worse.truth), split="test")

    low, high = bootstrap.gain_interval(better, worse, "rmse") or (0, 0)

    assert 0 < low < high  # although the two models' own intervals overlap
    assert bootstrap.intervals(better)["rmse"][1] > bootstrap.intervals(worse)["rmse"][0]


def test_a_model_gains_nothing_over_itself() -> None:
    assert bootstrap.gain_interval(binary(), binary(), "roc_auc") == (0.0, 0.0)


def test_large_splits_get_fewer_resamples() -> None:
    assert len(bootstrap.resample([numbers(100_000)])[0]["rmse"]) == 500


def test_all_metrics_of_7000_rows_and_1000_resamples_take_seconds_at_most() -> None:
    outcome = multiclass(7000)
    started = time.process_time()
    bootstrap.intervals(outcome, resamples=1000)

    assert time.process_time() - started < 6

"""Over-fitting is a large part of the gain that new rows lose, even where validation had bad luck."""

import numpy as np
import polars as pl
import pytest
from unit.evaluation.outcomes import numbers

from stagewright.components.evaluation.evaluate import evaluate
from stagewright.components.evaluation.overfitting import Overfitting, check
from stagewright.components.evaluation.remarks import remarks
from stagewright.components.metrics.metrics import Measured, measure
from stagewright.components.metrics.outcome import regression
from stagewright.components.runtime.schema import Task


def auc(train: float, validation: float, upper: float | None = None, *, tolerance: float = 0.05) -> Overfitting:
    intervals = {} if upper is None else {"roc_auc": (validation - 0.1, upper)}
    measured = [Measured({"roc_auc": value}) for value in (train, validation)]
    return check(Task.BINARY, *measured, intervals, tolerance=tolerance)


@pytest.mark.parametrize(
    ("train", "validation", "upper", "lost", "warning"),
    [
        (0.875, 0.75, None, 1 / 3, False),  # exactly a third of what lies above 0.5
        (0.875, 0.7499, None, 0.1251 / 0.375, True),
        (0.875, 0.625, 0.75, 1 / 3, False),  # of what may be chance, the better end counts
        (0.875, 0.625, 0.7499, 0.1251 / 0.375, True),
        (0.999, 0.821, 0.843, 0.156 / 0.499, False),  # seen: a forest that knows its rows and is good
        (0.985, 0.686, 0.747, 0.238 / 0.485, True),  # seen: one that a linear model beats
        (0.870, 0.707, 0.767, 0.103 / 0.370, False),  # seen: XGBoost as it comes
        (0.8, 0.9, 0.95, 0.0, False),
        (0.5, 0.4, 0.42, None, False),  # it gained nothing that could be lost
        (0.4, 0.3, None, None, False),
    ],
)
def test_over_fitting_loses_more_than_a_third_of_the_gain(
    train: float, validation: float, upper: float | None, lost: float | None, warning: bool
) -> None:
    found = auc(train, validation, upper)

    assert found.warning is warning
    assert found.lost == (None if lost is None else pytest.approx(lost, abs=1e-9))
    assert found.gap == train - validation


def test_a_small_gap_is_none_whatever_it_is_a_share_of() -> None:
    assert not auc(0.5625, 0.5, tolerance=0.0625).warning
    assert auc(0.5625, 0.5, tolerance=0.0624).warning
    assert auc(0.5625, 0.5).warning
    assert not auc(0.546875, 0.5).warning


def test_each_verdict_is_a_sentence() -> None:
    assert [auc(*values).sentence for values in ((0.9, 0.6), (0.9, 0.8), (0.9, 0.88))] == [
        (
            "ROC AUC is 0.900 on the training split and 0.600 on validation; at least 75% of what it gained over knowing "
            "nothing is lost on new rows: the model over-fits; a simpler one, or more rows, may do better."
        ),
        (
            "ROC AUC is 0.900 on the training split and 0.800 on validation; most of what it gained over knowing nothing may "
            "hold for new rows, so the gap of 0.100 is no warning."
        ),
        "ROC AUC is 0.900 on the training split and 0.880 on validation; the gap of 0.020 is small.",
    ]
    assert "at least 100% of what" in auc(0.6, 0.2).sentence
    assert set(auc(0.9, 0.6).document()) == {"metric", "train", "validation", "gap", "lost", "warning", "sentence"}


@pytest.mark.parametrize(
    ("train", "validation", "warning"), [(0.75, 0.5, False), (0.75, 0.4999, True), (0.2, -0.1, True), (-0.1, -0.3, False)]
)
def test_a_regression_is_judged_by_r2_which_starts_at_zero(train: float, validation: float, warning: bool) -> None:
    found = check(Task.REGRESSION, Measured({"r2": train}), Measured({"r2": validation}), {"rmse": (0.0, 1.0)})

    assert (found.metric, found.warning) == ("r2", warning)


def test_over_fitting_of_a_regression_has_no_unit() -> None:
    train, validation = numbers(seed=1, noise=0.1), numbers(seed=2, noise=0.9)
    scaled = [regression(split.truth * 1000, split.predicted * 1000, split="test") for split in (train, validation)]

    found = check(Task.REGRESSION, *(measure(split) for split in scaled), {})

    assert found.warning
    assert found.gap == pytest.approx(check(Task.REGRESSION, measure(train), measure(validation), {}).gap)


@pytest.mark.parametrize("absent", [0, 1])
def test_over_fitting_is_unknown_where_a_class_is_missing(absent: int) -> None:
    splits = [Measured({"roc_auc": 0.9}), Measured({"roc_auc": 0.5})]
    splits[absent] = Measured({}, {"roc_auc": "all rows are of class 'a'"})

    found = check(Task.BINARY, splits[0], splits[1], {})

    assert (found.warning, found.gap, found.sentence) == (False, None, "ROC AUC is not known on both splits.")


def test_a_real_model_is_warned_of_where_it_learned_noise(train, churn_model) -> None:
    random = np.random.default_rng(0)
    table = pl.DataFrame({f"x{number}": random.normal(size=800) for number in range(8)})
    table = table.with_columns(y=pl.Series(random.choice(["a", "b"], 800)))
    noise = train(table, "y", "binary", name="sklearn", params={"model": "random_forest", "n_estimators": 40})

    churn, by_heart = (
        evaluate(model.model, **model.splits, name="m", compare_with_champion=False) for model in (churn_model, noise)
    )

    assert not churn.overfitting.warning
    assert not any("over-fits" in said for said in remarks(churn))
    assert by_heart.overfitting.warning
    assert by_heart.overfitting.sentence.removesuffix(".") in remarks(by_heart)

"""A student beside its teacher, in exact numbers: what it loses, how far it agrees, and both sides of each limit."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stagewright.components.measurement.graph_latency import Latency
from stagewright.components.metrics.metrics import METRICS, Measured, measure
from stagewright.components.metrics.outcome import Outcome, classification, regression
from stagewright.components.optimization.distillation.compare import (
    Comparison,
    Fidelity,
    Limits,
    compare,
    divergence,
    fidelity,
    loss,
)
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.schema import Task

TRUTH = [0.0, 1.0, 2.0, 3.0]


def values(*answers: float) -> Outcome:
    return regression(TRUTH[: len(answers)], np.array(answers), split="test")


def off_by(error: float) -> Outcome:
    """A regression whose every answer is wrong by that much."""
    return values(*(truth + error for truth in TRUTH))


def classes(*second: float) -> Outcome:
    """Two classes; the second is true in every other row."""
    chances = np.array([[1 - p, p] for p in second])
    return classification(Task.BINARY, (0, 1), [0, 1] * (len(second) // 2), (chances[:, 1] >= 0.5) * 1, chances, split="test")


def measured(metric: str, value: float | None) -> Measured:
    known = measure(off_by(1.0))
    return replace(known, values={} if value is None else {metric: value})


@pytest.mark.parametrize(
    ("metric", "teacher", "student", "lost"),
    [
        ("rmse", 2.0, 2.2, 10.0),  # percent of an error
        ("rmse", 2.0, 1.8, -10.0),
        ("mae", 4.0, 5.0, 25.0),
        ("log_loss", 0.5, 0.75, 50.0),
        ("roc_auc", 0.9, 0.8, 10.0),  # points of a share
        ("accuracy", 0.5, 0.75, -25.0),
        ("r2", 0.5, 0.25, 25.0),
        ("rmse", 0.0, 0.0, 0.0),
        ("rmse", 0.0, 0.1, math.inf),
    ],
)
def test_a_loss_is_points_of_a_share_and_percent_of_an_error(metric: str, teacher: float, student: float, lost: float) -> None:
    assert loss(METRICS[metric], measured(metric, teacher), measured(metric, student)) == pytest.approx(lost, rel=1e-12)


def test_an_rmse_of_two_that_becomes_two_and_a_fifth_is_a_loss_of_ten_percent() -> None:
    found = compare(off_by(2.0), off_by(2.2), metric="rmse", latency=latencies(), sizes=SIZES)

    assert found.loss == pytest.approx(10.0, rel=1e-9)
    assert found.failures(replace(ANYTHING, tolerance=10.0 + 1e-9)) == []
    assert found.failures(replace(ANYTHING, tolerance=10.0 - 1e-9)) == [
        "it loses 10.00 percent of rmse (teacher 2, student 2.2), 10 are allowed"
    ]


@pytest.mark.parametrize(("teacher", "student"), [(None, 1.0), (1.0, None)])
def test_a_loss_of_what_is_not_known_is_not_known(teacher: float | None, student: float | None) -> None:
    assert math.isnan(loss(METRICS["rmse"], measured("rmse", teacher), measured("rmse", student)))


def test_agreement_is_the_share_of_rows_with_the_same_label() -> None:
    found = fidelity(classes(0.1, 0.9, 0.4, 0.8), classes(0.1, 0.9, 0.6, 0.2))

    assert found.agreement == 0.5
    assert found.divergence is not None


def test_agreement_of_values_is_the_r2_against_the_teachers_and_not_against_the_truth() -> None:
    assert fidelity(off_by(5.0), off_by(5.0)) == Fidelity(1.0, None)
    assert fidelity(values(0, 2, 4, 6), values(0, 2, 4, 8)) == Fidelity(1 - 4 / 20, None)
    assert fidelity(values(3, 3, 3, 3), values(3, 3, 3, 3)) == Fidelity(1.0, None)
    assert fidelity(values(3, 3, 3, 3), values(3, 3, 3, 4)) == Fidelity(0.0, None)


def test_divergence_is_that_of_the_student_from_the_teacher_in_nats() -> None:
    teacher, student = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.25, 0.75], [0.25, 0.75]])

    half = (0.5 * math.log(2) + 0.5 * math.log(2 / 3)) / 2
    assert divergence(teacher, student) == pytest.approx(half, rel=1e-12)
    assert divergence(student, teacher) == pytest.approx((0.25 * math.log(0.5) + 0.75 * math.log(1.5)) / 2, rel=1e-12)
    certain = divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert certain == pytest.approx(math.log(1e7), rel=1e-5)  # not infinite


SIZES = {"teacher": 1000, "student": 250}
ANYTHING = Limits(tolerance=1000, minimum_agreement=-math.inf, maximum_divergence=100, minimum_speedup=0)


def latencies(batch: float = 4.0, single_row: float = 3.0) -> dict[str, Latency]:
    """The student is so many times as fast."""
    return {"teacher": latency(batch, single_row), "student": latency(1.0, 1.0)}


def latency(batch: float, single_row: float) -> Latency:
    return Latency(single_row=single_row, single_row_p99=single_row, batch=batch, batch_rows=1000)


@pytest.fixture
def found() -> Comparison:
    """It loses 25 points of accuracy, agrees in half of the rows, is 4 and 3 times as fast and has a quarter of the bytes."""
    teacher, student = classes(0.25, 0.75, 0.25, 0.75), classes(0.25, 0.25, 0.25, 0.75)
    compared = compare(teacher, student, metric="accuracy", latency=latencies(), sizes=SIZES)
    return replace(compared, fidelity=Fidelity(0.5, 0.25))


@pytest.mark.parametrize(
    ("limit", "kept", "broken", "clause"),
    [
        ("tolerance", 25.0, 24.9, "it loses 25.00 points of accuracy (teacher 1, student 0.75), 24.9 are allowed"),
        (
            "minimum_agreement",
            0.5,
            0.51,
            "it has the same answer in a share of 0.500 with the teacher, at least 0.51 is wanted",
        ),
        ("maximum_divergence", 0.25, 0.24, "its divergence from the teacher is 0.250 nats, at most 0.24 is wanted"),
        ("minimum_speedup", 4.0, 4.1, "it is 4.0 times as fast on batches, at least 4.1 is wanted"),
        ("maximum_size", 0.25, 0.24, "its graph has 0.25 times the teacher's bytes, at most 0.24 is wanted"),
    ],
)
def test_a_limit_may_be_reached_and_not_passed(found: Comparison, limit: str, kept: float, broken: float, clause: str) -> None:
    assert found.failures(replace(ANYTHING, **{limit: kept})) == []
    assert found.failures(replace(ANYTHING, **{limit: broken})) == [clause]


@pytest.mark.parametrize(
    ("load", "slow"),
    [("batch", ["batches"]), ("single_row", ["single rows"]), ("both", ["batches", "single rows"])],
)
def test_the_load_that_counts_is_the_one_that_must_be_fast(found: Comparison, load: str, slow: list[str]) -> None:
    clauses = found.failures(replace(ANYTHING, load=load, minimum_speedup=5.0))

    assert [clause.split(" on ")[1].split(",")[0] for clause in clauses] == slow
    assert found.speedup == {"batch": 4.0, "single_row": 3.0}


def test_what_is_not_a_number_breaks_its_limit(found: Comparison) -> None:
    unknown = replace(found, loss=math.nan, fidelity=Fidelity(math.nan, math.nan))

    assert len(unknown.failures(ANYTHING)) == 3


def test_values_have_an_agreement_and_no_divergence() -> None:
    compared = compare(values(0, 2, 4, 6), values(0, 2, 4, 8), metric="auto", latency=latencies(), sizes=SIZES)

    assert compared.metric.name == "rmse"
    [clause] = compared.failures(replace(ANYTHING, minimum_agreement=0.9, maximum_divergence=0.0))
    assert clause == "it has an R² against its values of 0.800 with the teacher, at least 0.9 is wanted"


@pytest.mark.parametrize("limit", ["tolerance", "maximum_divergence", "minimum_speedup", "maximum_size"])
@pytest.mark.parametrize(("value", "fine"), [(0.0, True), (-0.01, False), (math.nan, False)])
def test_a_limit_is_at_least_zero(limit: str, value: float, fine: bool) -> None:
    limits = Limits(**{limit: value})
    if fine:
        limits.check(Task.BINARY)
        return
    with pytest.raises(BadParameter, match=rf"^parameter '{limit}' is {value}; expected a number of at least 0$"):
        limits.check(Task.BINARY)


def test_an_agreement_is_at_most_one() -> None:
    Limits(minimum_agreement=1.0).check(Task.BINARY)
    Limits(minimum_agreement=-1.0).check(Task.REGRESSION)
    with pytest.raises(BadParameter, match=r"^parameter 'minimum_agreement' is 1.01; expected a share of at most 1$"):
        Limits(minimum_agreement=1.01).check(Task.BINARY)


def test_intervals_are_of_both_and_the_gain_of_the_student() -> None:
    teacher, student = off_by(1.0), off_by(3.0)

    compared = compare(teacher, student, metric="rmse", latency=latencies(), sizes=SIZES, resample=True)

    assert compared.intervals["teacher"]["rmse"] == (1.0, 1.0)
    assert compared.intervals["student"]["rmse"] == (3.0, 3.0)
    assert compared.gain == (-2.0, -2.0)
    assert compared.document()["gain_interval"] == [-2.0, -2.0]
    assert compare(teacher, student, metric="rmse", latency=latencies(), sizes=SIZES).document()["gain_interval"] is None

"""Points lost against the float model, by what they are defined as."""

import tracemalloc

import numpy as np
import pytest
from sklearn import metrics as sk

from stagewright.components.optimization.quantization import quality as judging
from stagewright.components.optimization.quantization.quality import measures, quality, truth_of
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import Predictions

CLASSES = ("no", "yes")


def _classifier(chances: np.ndarray) -> Predictions:
    return Predictions(
        labels=np.array(CLASSES)[(chances >= 0.5).astype(int)], probabilities=np.column_stack([1 - chances, chances])
    )


@pytest.fixture
def rows() -> tuple[list[str], Predictions, Predictions]:
    """Truth, a model, and the same model a little worse."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 600)
    chances = np.clip(0.5 + 0.25 * (2 * truth - 1) + random.normal(0, 0.25, 600), 0.01, 0.99)
    worse = np.clip(chances + random.normal(0, 0.12, 600), 0.01, 0.99).round(2)
    return [CLASSES[value] for value in truth], _classifier(chances), _classifier(worse)


def test_points_are_hundredths_of_accuracy_and_of_auc(rows: tuple[list[str], Predictions, Predictions]) -> None:
    column, own, made = rows
    truth = truth_of(column, CLASSES, own)

    found = quality(made, own, truth)

    accuracy = [sk.accuracy_score(column, answered.labels) for answered in (own, made)]
    area = [sk.roc_auc_score(truth.values, answered.probabilities[:, 1]) for answered in (own, made)]
    assert found.by_metric == pytest.approx(
        {"accuracy": 100 * (accuracy[0] - accuracy[1]), "roc_auc": 100 * (area[0] - area[1])}
    )
    assert found.lost == max(found.by_metric.values())
    assert found.interval[0] <= found.lost <= found.interval[1]
    for name, (low, high) in found.intervals.items():
        assert low <= found.by_metric[name] <= high
    assert found.metrics["log_loss"] == pytest.approx(sk.log_loss(truth.values, made.probabilities))
    assert found.changed == np.mean(own.labels != made.labels)


def test_same_answers_lose_nothing(rows: tuple[list[str], Predictions, Predictions]) -> None:
    column, own, _ = rows

    found = quality(own, own, truth_of(column, CLASSES, own))

    assert (found.lost, found.interval, found.changed, found.largest) == (0.0, (0.0, 0.0), 0.0, 0.0)


def test_float_model_stands_for_the_truth_where_that_is_unknown(rows: tuple[list[str], Predictions, Predictions]) -> None:
    _, own, made = rows

    truth = truth_of(None, CLASSES, own)
    found = quality(made, own, truth)

    assert not truth.known
    assert measures(own, truth)["accuracy"] == 1.0
    assert found.by_metric["accuracy"] == pytest.approx(100 * found.changed)


def test_points_of_a_regressor_are_percent_of_its_error() -> None:
    random = np.random.default_rng(0)
    target = random.normal(50, 10, 500)
    error = random.normal(0, 2, 500)
    own, made = (Predictions(values=(target + factor * error).astype(np.float32)) for factor in (1.0, 1.05))

    found = quality(made, own, truth_of(target.tolist(), None, own))

    assert found.lost == pytest.approx(5.0, abs=1e-3)
    assert found.changed is None
    assert set(found.metrics) == {"rmse", "r2"}


def test_points_of_a_regressor_without_truth_are_percent_of_the_spread() -> None:
    values = np.random.default_rng(0).normal(0, 4, 500).astype(np.float32)
    own, made = Predictions(values=values), Predictions(values=values + np.float32(0.04))

    found = quality(made, own, truth_of(None, None, own))

    assert found.lost == pytest.approx(100 * 0.04 / values.std(), rel=1e-3)


def test_answers_that_are_no_numbers_are_refused(rows: tuple[list[str], Predictions, Predictions]) -> None:
    column, own, made = rows
    made.probabilities[3] = np.nan

    with pytest.raises(InputError, match="not finite"):
        quality(made, own, truth_of(column, CLASSES, own))


def test_label_that_the_model_does_not_know_is_named(rows: tuple[list[str], Predictions, Predictions]) -> None:
    column, own, _ = rows

    with pytest.raises(InputError, match="the target holds 'maybe', which the model does not know; it knows no, yes"):
        truth_of(["maybe", *column[1:]], CLASSES, own)


@pytest.mark.parametrize("block", [1, 8 * 600, 8 * 600 * 9, 8 * 600 * 64, 8 * 600 * 999])
def test_resamples_measured_in_blocks_are_those_measured_at_once(
    rows: tuple[list[str], Predictions, Predictions], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    column, own, made = rows
    truth = truth_of(column, CLASSES, own)
    at_once = quality(made, own, truth, seed=3)

    monkeypatch.setattr(judging, "BLOCK_BYTES", block)

    assert quality(made, own, truth, seed=3) == at_once


def test_errors_of_resamples_measured_in_blocks_are_those_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    own, made = (Predictions(values=random.normal(size=700)) for _ in range(2))
    truth = truth_of(random.normal(size=700).tolist(), None, own)
    at_once = quality(made, own, truth)

    monkeypatch.setattr(judging, "BLOCK_BYTES", 8 * 700 * 100)

    assert quality(made, own, truth).interval == pytest.approx(at_once.interval, rel=1e-13)


@pytest.mark.parametrize(
    ("rows", "block", "sizes"),
    [(100, 8 * 100 * 300, [296, 296, 296, 112]), (100, 8 * 100 * 7, [7] * 142 + [6]), (100, 1, [1] * 1000), (2, 10**9, [1000])],
)
def test_no_more_resamples_are_measured_at_once_than_there_is_room_for(
    rows: int, block: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "BLOCK_BYTES", block)

    found = list(judging._resamples(rows, 0))

    assert [len(counts) for counts in found] == sizes
    assert {float(total) for counts in found for total in counts.sum(axis=1)} == {float(rows)}


def test_an_interval_of_many_rows_takes_little_memory() -> None:
    """30,000 rows of two classes: the counts of all resamples at once would be 240 MB, and what is made of them a gigabyte."""
    random = np.random.default_rng(0)
    chances = random.random(30_000).round(3)
    own = _classifier(chances)
    truth = truth_of(None, CLASSES, own)
    tracemalloc.start()

    quality(own, own, truth)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 400e6

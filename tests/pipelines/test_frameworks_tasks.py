"""The main job with each framework on three classes and on a number: what is served is what was trained."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from support.runs import Finished, assert_served_equals_own

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]


@pytest.mark.parametrize(
    ("framework", "params", "target"),
    [
        ("sklearn", {"model": "linear"}, "string"),
        ("xgboost", {}, "integer"),
        ("lightgbm", {}, "string"),
        ("torch", {}, "integer"),
    ],
)
def test_three_classes(
    run_pipeline: Run, wine: pl.DataFrame, tmp_path: Path, framework: str, params: dict[str, object], target: str
) -> None:
    table = wine if target == "integer" else wine.with_columns(pl.format("cultivar {}", "cultivar").alias("cultivar"))
    table.write_parquet(tmp_path / "wine.parquet")
    name = f"wine-{framework}"

    finished = run_pipeline(
        "train-model", data=str(tmp_path / "wine.parquet"), target="cultivar", name=name, framework=framework, params=params
    )

    assert finished.error == ""
    assert finished.outputs["metrics"]["test"]["accuracy"] > 0.85
    assert_served_equals_own(finished, name, table)


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "lightgbm", "torch"])
def test_regression(run_pipeline: Run, diabetes: pl.DataFrame, tmp_path: Path, framework: str) -> None:
    diabetes.write_ndjson(tmp_path / "diabetes.jsonl")
    params = {"model": "linear"} if framework == "sklearn" else {}
    name = f"diabetes-{framework}"

    finished = run_pipeline(
        "train-model",
        data=str(tmp_path / "diabetes.jsonl"),
        target="progression",
        name=name,
        framework=framework,
        params=params,
    )

    assert finished.error == ""
    assert finished.outputs["metrics"]["test"]["r2"] > 0.2
    assert_served_equals_own(finished, name, diabetes)

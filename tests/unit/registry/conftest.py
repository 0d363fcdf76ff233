"""A real trained and exported model, made by the stages' own code."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from stagewright.components.export.export_model import export_model
from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.training.train import train_model


@pytest.fixture(autouse=True)
def no_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions follow from the registry alone, unless a test asks for the object store."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trained(tmp_path: Path, tracking: str, wine: pl.DataFrame) -> Path:
    """An exported model of wines, whose run is recorded in this test's MLflow."""
    columns = [
        Column(name=name, kind=ColumnKind.CATEGORICAL if name == "cultivar" else ColumnKind.NUMERIC) for name in wine.columns
    ]
    schema = Schema(target="cultivar", task=Task.MULTICLASS, columns=columns)
    schema.write(tmp_path / "schema.json")
    shuffled = wine.sample(fraction=1.0, shuffle=True, seed=1)
    tables.write_table(shuffled[:140], tmp_path / "train.parquet")
    tables.write_table(shuffled[140:], tmp_path / "validation.parquet")
    features = fit_features(tmp_path / "train.parquet", schema, framework="sklearn", params={"model": "linear"})
    features.save(tmp_path / "features")
    train_model(
        tmp_path / "train.parquet", tmp_path / "validation.parquet", features=tmp_path / "features",
        schema=tmp_path / "schema.json", model=tmp_path / "model", name="wine", framework="sklearn", params={"model": "linear"},
    )  # fmt: skip
    export_model(tmp_path / "model", tmp_path / "validation.parquet", tmp_path / "exported")
    shutil.rmtree(tmp_path / "model")
    return tmp_path / "exported"

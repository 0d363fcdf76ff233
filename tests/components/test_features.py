"""The wrapper of fit_features: artifacts in, a folder and its metadata out, user errors as exit codes."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from kfp import dsl

from stagewright.components.features.component import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.schema import Schema


@pytest.fixture
def artifacts(telco: pl.DataFrame, tmp_path: Path) -> dict[str, Any]:
    kinds = {name: "numeric" if dtype.is_numeric() else "categorical" for name, dtype in telco.schema.items()}
    tables.write_table(telco, tmp_path / "train.parquet")
    schema = {"target": "churn", "columns": [{"name": name, "kind": kind} for name, kind in kinds.items()]}
    Schema.parse(schema).write(tmp_path / "schema.json")
    return {
        "train": dsl.Dataset(name="train", uri=str(tmp_path / "train.parquet")),
        "schema": dsl.Artifact(name="schema", uri=str(tmp_path / "schema.json")),
        "features": dsl.Artifact(name="features", uri=str(tmp_path / "features")),
    }


def test_folder_is_written_and_its_metadata_tell_what_went_in_and_came_out(
    artifacts: dict[str, Any], telco: pl.DataFrame
) -> None:
    specification = {"columns": {"tenure": {"drop": True}}}

    fit_features.python_func(**artifacts, framework="xgboost", specification=specification)

    features = FeatureGraph.load(artifacts["features"].path)
    matrix = features.transform(telco)
    assert artifacts["features"].metadata == {
        "columns": telco.width - 2, "features": matrix.shape[1], "hash": features.hash, "framework": "xgboost",
    }  # fmt: skip
    assert np.isfinite(matrix).all()


def test_wrong_specification_ends_with_exit_code_2_and_one_sentence(
    artifacts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit_features.python_func(**artifacts, framework="xgboost", specification={"columns": {"tenur": {}}})

    assert stopped.value.code == 2
    assert not Path(artifacts["features"].path).exists()


def test_spec_runs_in_the_tabular_image_and_may_be_cached() -> None:
    assert (fit_features.group, fit_features.cacheable) == ("tabular", True)
    assert set(fit_features.component_spec.inputs) == {"train", "schema", "framework", "params", "specification"}
    assert set(fit_features.component_spec.outputs) == {"features"}

"""MLflow models without a graph go the way of every other model: imported, registered, published, deployed, promoted."""

from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from support import mlflow_models
from support.runs import Finished

from stagewright.components.serving import client

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]


def test_a_scikit_learn_pipeline_is_served(run_pipeline: Run, tmp_path: Path) -> None:
    folder = mlflow_models.sklearn_wine(tmp_path / "model")
    rows, _ = mlflow_models.wines()

    finished = run_pipeline("serving-setup", model=str(folder), name="skops-wine")

    assert finished.error == ""
    assert finished.outputs["version"] == "v1.0.0"
    answer = client.predict(finished.outputs["endpoint"], "skops-wine", rows.to_dict("records"))
    assert answer.predictions == np.asarray(mlflow.pyfunc.load_model(str(folder)).predict(rows)).tolist()
    assert answer.model_version == "v1.0.0"


def test_a_pickle_stops_the_pipeline_before_anything_is_registered(run_pipeline: Run, tmp_path: Path) -> None:
    folder = mlflow_models.sklearn_pickle(tmp_path / "model")

    finished = run_pipeline("serving-setup", model=str(folder), name="pickled-wine")

    assert "could hold a pickle, which runs code when it is loaded" in finished.error
    assert finished.steps == ["import-model"]

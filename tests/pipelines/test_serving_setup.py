"""A model that exists already, published and served: from a folder, from the registry, from a bare ONNX file."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from support.runs import Finished, assert_served_equals_own

from stagewright.components.serving import client

pytestmark = pytest.mark.slow

STEPS = ["import-model", "register-model", "publish-model", "deploy-model", "promote-model"]
Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def trained(run_pipeline: Run, telco_csv: Path) -> Finished:
    finished = run_pipeline("train-model", data=str(telco_csv), target="churn", name="origin", deploy_to="none")
    assert finished.error == ""
    return finished


def test_model_folder_is_served_under_a_new_name(run_pipeline: Run, trained: Finished, telco: pl.DataFrame) -> None:
    finished = run_pipeline("serving-setup", model=str(trained.model), name="copied")

    assert finished.error == ""
    assert finished.steps == STEPS
    assert finished.outputs["version"] == "v1.0.0"
    assert_served_equals_own(finished, "copied", telco.head(50))


def test_registered_model_is_served(run_pipeline: Run, trained: Finished, telco: pl.DataFrame) -> None:
    finished = run_pipeline("serving-setup", model="models:/origin@challenger", name="again-served")

    assert finished.error == ""
    assert_served_equals_own(finished, "again-served", telco.head(50))


def test_published_model_is_served(run_pipeline: Run, trained: Finished, telco: pl.DataFrame) -> None:
    finished = run_pipeline("serving-setup", model=trained.outputs["model_uri"], name="from-store")

    assert finished.error == ""
    assert_served_equals_own(finished, "from-store", telco.head(50))


def test_bare_onnx_file_is_served(run_pipeline: Run, tmp_path: Path) -> None:
    path = tmp_path / "iris.onnx"
    code = (
        "import sys, skl2onnx, sklearn.datasets as d, sklearn.linear_model as m, numpy as n\n"
        "x, y = d.load_iris(return_X_y=True)\n"
        "model = m.LogisticRegression(max_iter=500).fit(x.astype(n.float32), y)\n"
        "opset, row = {'': 18, 'ai.onnx.ml': 3}, x[:1].astype(n.float32)\n"
        "graph = skl2onnx.to_onnx(model, row, options={'zipmap': False}, target_opset=opset)\n"
        "open(sys.argv[1], 'wb').write(graph.SerializeToString())"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)

    finished = run_pipeline("serving-setup", model=str(path), name="iris")

    assert finished.error == ""
    session = onnxruntime.InferenceSession(path)
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: rows})
    answer = client.predict(finished.outputs["endpoint"], "iris", rows.tolist())
    assert answer.predictions == labels.tolist()
    np.testing.assert_allclose(np.asarray(answer.probabilities), probabilities, atol=1e-5)

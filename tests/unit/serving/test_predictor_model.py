"""A model is compared with its signature when it is loaded, and decides by the signature's threshold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import onnx_models
from support.asgi_client import AsgiClient
from support.mixed_rows import FEEDS

from stagewright.components.predictor import model_source
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Input, Signature


def load(folder: Path) -> OnnxModel:
    return OnnxModel.load(model_source.read(str(folder)), "m")


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, 1.0])
def test_the_threshold_decides_a_binary_label(tmp_path: Path, threshold: float) -> None:
    model = load(onnx_models.write_mixed(tmp_path, replace(onnx_models.MIXED, threshold=threshold)))

    outputs = model.run(FEEDS)

    expected = np.where(outputs["probabilities"][:, 1] >= np.float32(threshold), "Yes", "No")
    assert outputs["label"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"inputs": onnx_models.MIXED.inputs[1:]}, "has input 'tenure', which its signature does not name"),
        (
            {"inputs": (Input("tenure", "categorical"), *onnx_models.MIXED.inputs[1:])},
            "has input 'tenure' of type tensor(float); its signature needs tensor(string)",
        ),
        ({"classes": None, "task": "regression"}, "has no output 'prediction', which its signature names"),
        ({"classes": (0, 1)}, "has output 'label' of type tensor(string); its signature needs tensor(int64)"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(tmp_path: Path, changed: dict, sentence: str) -> None:
    onnx_models.write_mixed(tmp_path, replace(onnx_models.MIXED, **changed))

    with pytest.raises(InputError) as refused:
        load(tmp_path)

    assert str(refused.value) == f"the graph of the model at {tmp_path} {sentence}"


def test_a_wrong_number_of_classes_is_found_by_the_rehearsal(tmp_path: Path) -> None:
    onnx_models.write_mixed(tmp_path, replace(onnx_models.MIXED, classes=("a", "b", "c")))

    with pytest.raises(InputError) as refused:
        load(tmp_path)

    assert str(refused.value) == (
        f"the model at {tmp_path} answers 'probabilities' of shape [1, 2] for one row; its signature says [1, 3]"
    )


def one_column(folder: Path, shape: list, target: list) -> None:
    """A regressor that only reshapes its column."""
    nodes = [helper.make_node("Reshape", ["x", "target"], ["prediction"])]
    fixed = [helper.make_tensor("target", TensorProto.INT64, [len(target)], target)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], fixed), opset_imports=onnx_models.OPSETS, ir_version=9)
    onnx.save(model, folder / "model.onnx")
    Signature("regression", (Input("x", "numeric"),)).write(folder)


@pytest.mark.parametrize("shape", [[1, 1], [None], [None, 3]])
def test_a_graph_that_takes_no_batches_is_refused(tmp_path: Path, shape: list) -> None:
    one_column(tmp_path, shape, [-1])

    with pytest.raises(InputError, match=r"takes input 'x' of shape .*; expected \[rows, 1\]$"):
        load(tmp_path)


def test_a_graph_that_cannot_run_is_refused(tmp_path: Path) -> None:
    one_column(tmp_path, [None, 1], [5])

    with pytest.raises(InputError, match=r"^the model at .* loads but cannot compute a row: "):
        load(tmp_path)


def test_a_model_that_breaks_while_serving_is_a_500_with_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one_column(tmp_path, [None, 1], [1])  # fits the one row of the rehearsal, and no other batch
    application = Application("m")
    application.models.serve(load(tmp_path))
    client = AsgiClient(application)
    logs.LOGGER.addHandler(caplog.handler)

    broken = client.post("/v1/models/m:predict", {"instances": [1, 2]})

    logs.LOGGER.removeHandler(caplog.handler)
    assert (broken.status, broken.json) == (500, {"error": "prediction failed; see the server log"})
    assert "request_failed" in caplog.messages
    assert caplog.records[-1].exc_info
    assert client.post("/v1/models/m:predict", {"instances": [3.5]}).json["predictions"] == [3.5]


def test_a_malformed_signature_is_refused(tmp_path: Path) -> None:
    onnx_models.write_mixed(tmp_path)
    document = json.loads((tmp_path / "signature.json").read_text())
    del document["task"]
    (tmp_path / "signature.json").write_text(json.dumps(document))

    with pytest.raises(InputError) as refused:
        load(tmp_path)

    assert str(refused.value) == f"the signature of the model at {tmp_path} is malformed: KeyError 'task'"

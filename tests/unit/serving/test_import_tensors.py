"""Bare graphs of networks that read images: what is taken over, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from stagewright.components.export.import_model import import_model
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.model_source import read
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Signature


def graph(shape: Sequence[Any], element: int = TensorProto.FLOAT, *, end: str = "Softmax") -> onnx.ModelProto:
    """Three classes by the mean of each channel."""
    nodes = [
        helper.make_node("Cast", ["x"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["number"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node(end, ["means"], ["y"], **({"axis": 1} if end == "Softmax" else {})),
    ]
    inputs = [helper.make_tensor_value_info("x", element, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])]
    made = helper.make_graph(nodes, "network", inputs, outputs)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def imported(folder: Path, proto: onnx.ModelProto) -> Path:
    onnx.save(proto, folder / "network.onnx")
    import_model(str(folder / "network.onnx"), folder / "model")
    return folder / "model"


@pytest.mark.parametrize(
    ("element", "kind", "dtype"),
    [
        (TensorProto.FLOAT, "tensor", np.float32),
        (TensorProto.DOUBLE, "tensor", np.float64),
        (TensorProto.UINT8, "image", np.uint8),
    ],
    ids=["float", "double", "bytes"],
)
def test_a_network_of_images_is_served(tmp_path: Path, element: int, kind: str, dtype: Any) -> None:
    proto = graph(["N", 3, 4, 5], element)
    pixels = np.random.default_rng(0).integers(0, 5, (7, 3, 4, 5)).astype(dtype)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": pixels})[0]

    folder = imported(tmp_path, proto)

    signature = Signature.read(folder / "serving")
    assert [(given.kind, given.shape, given.nullable) for given in signature.inputs] == [(kind, (3, 4, 5), False)]
    assert (signature.task, signature.classes) == ("multiclass", (0, 1, 2))
    model = OnnxModel.load(read(str(folder)), "network")
    outputs = model.run({"x": model.columns.find("x").from_values(pixels.tolist())})
    assert np.allclose(outputs["probabilities"], expected, atol=1e-6)
    assert outputs["label"].tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("proto", "sentence"),
    [
        (graph([1, 3, 4, 5]), r"input 'x' has shape \[1, 3, 4, 5\]; expected any number of rows, each of one fixed shape"),
        (graph(["N", 3, "H", "W"]), r"input 'x' has shape \[N, 3, H, W\]; expected any number of rows"),
        (graph(["N", 3, 4, 5], end="Relu"), r"answers 'y' \[N, 3\], made by Relu; end a classifier with a Softmax"),
    ],
    ids=["fixed rows", "free size", "no softmax"],
)
def test_a_network_that_cannot_be_served_is_refused(tmp_path: Path, proto: onnx.ModelProto, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        imported(tmp_path, proto)

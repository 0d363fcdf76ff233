"""Each way to quantize, on small real graphs: it answers alike, is smaller, and touches the estimator only."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import quantizable

from stagewright.components.measurement import graph_speed as quantize_speed
from stagewright.components.measurement.processor import saturates
from stagewright.components.optimization.quantization import inference
from stagewright.components.optimization.quantization import methods as quantize_methods
from stagewright.components.optimization.quantization.graph import Divided, divide, layers, weight_bytes
from stagewright.components.optimization.quantization.index import index_nodes
from stagewright.components.runtime import columns
from stagewright.components.runtime.errors import BadParameter, InputError

IN_ONNX = [name for name, method in quantize_methods.METHODS.items() if method.make is not None and name != "dynamic-fused"]


def _feeds(rows: int = 64) -> dict[str, np.ndarray]:
    return columns.feeds(quantizable.measured().head(rows), quantizable.SIGNATURE.inputs)


def _calibration(divided: Divided) -> list[inference.Feeds]:
    session = quantize_speed.session(divided.features().SerializeToString())
    table = quantizable.measured().head(100)
    return inference.calibration(session, divided.before, lambda part: columns.feeds(part, quantizable.SIGNATURE.inputs), table)


def _answers(graph: onnx.ModelProto) -> np.ndarray:
    found: np.ndarray = quantize_speed.session(graph.SerializeToString()).run(["probabilities"], _feeds())[0]
    return found


@pytest.fixture(scope="module")
def divided() -> Divided:
    return divide(quantizable.graph())


def test_estimator_is_taken_out_and_put_back_as_it_was(divided: Divided) -> None:
    assert (divided.before, divided.after) == (("features",), ("probabilities",))
    assert [layer.operator for layer in layers(divided.body)] == ["MatMul", "MatMul", "Gemm"]
    np.testing.assert_array_equal(_answers(divided.with_body(divided.body)), _answers(quantizable.graph()))


def test_graph_up_to_the_estimator_makes_its_features(divided: Divided) -> None:
    features = quantize_speed.session(divided.features().SerializeToString()).run(None, _feeds(5))[0]

    assert features.shape == (5, quantizable.PIXELS + 1)


@pytest.mark.parametrize("name", IN_ONNX)
def test_method_answers_alike_and_is_smaller(divided: Divided, name: str) -> None:
    method = quantize_methods.find(name)
    assert method.make is not None

    made = divided.with_body(method.make(divided.body, _calibration(divided)))

    own, answered = _answers(quantizable.graph()), _answers(made)
    agreement = (own.argmax(1) == answered.argmax(1)).mean()
    assert agreement >= (0.2 if name == "weights-2" else 0.9)
    assert not np.array_equal(own, answered)
    ratio = quantizable.graph().ByteSize() / made.ByteSize()
    assert ratio > (1.9 if name == "fp16" else 2.5)


@pytest.mark.parametrize("name", IN_ONNX)
def test_preprocessing_and_label_stay_untouched(divided: Divided, name: str) -> None:
    method = quantize_methods.find(name)
    assert method.make is not None

    made = divided.with_body(method.make(divided.body, _calibration(divided)))

    inside = {node.name for node in divided.body.graph.node}
    outside = [node for node in divided.whole.graph.node if node.name not in inside]
    kept = {node.name: node.SerializeToString(deterministic=True) for node in made.graph.node}
    assert len(outside) == 6
    assert all(kept[node.name] == node.SerializeToString(deterministic=True) for node in outside)
    assert list(made.graph.input) == list(divided.whole.graph.input)
    assert list(made.graph.output) == list(divided.whole.graph.output)


def test_static_quantization_of_a_convolution_runs_in_integers() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.2, (16, 1, 3, 3)).astype(np.float32)
    more = random.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    node = helper.make_node
    body = helper.make_graph(
        [
            node("Conv", ["x", "w"], ["h"], pads=[1, 1, 1, 1]),
            node("Relu", ["h"], ["r"]),
            node("Conv", ["r", "v"], ["y"], pads=[1, 1, 1, 1]),
        ],
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 16, 8, 8])],
        initializer=[numpy_helper.from_array(weights, "w"), numpy_helper.from_array(more, "v")],
    )  # fmt: skip
    divided = divide(helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    rows = random.random((64, 1, 8, 8)).astype(np.float32)
    # A CPU without VNNI adds products in 16 bits and cuts some off, which weights of 7 bits avoid.
    method = quantize_methods.find("static-reduced" if saturates() else "static-entropy")
    assert method.make is not None

    made = divided.with_body(method.make(divided.body, [{"x": rows[:32]}, {"x": rows[32:]}]))

    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in made.graph.node}
    own, answered = (
        quantize_speed.session(graph.SerializeToString()).run(None, {"x": rows})[0] for graph in (divided.whole, made)
    )
    assert np.abs(own - answered).max() < 0.05 * np.abs(own).max()
    assert quantize_methods.names_for(divided.body, saturates=False)[0] == "static-minmax"


@pytest.mark.parametrize("name", ["fp16", "static-minmax", "dynamic", "weights-4"])
def test_ids_that_travel_as_floats_arrive_exactly(name: str) -> None:
    """Half precision has no 30,001, and 8 bits have no 300: looked up with either, another row of the table answers."""
    vectors = np.random.default_rng(0).normal(0, 1, (40_000, 16)).astype(np.float32)
    head = np.random.default_rng(1).normal(0, 1, (16, 16)).astype(np.float32)
    node = helper.make_node
    body = helper.make_graph(
        [
            node("Cast", ["ids"], ["whole"], to=TensorProto.INT64),
            node("Gather", ["table", "whole"], ["found"], axis=0),
            node("ReduceMean", ["found", "axes"], ["mean"], keepdims=0),
            node("MatMul", ["mean", "head"], ["y"]),
        ],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.FLOAT, ["N", "L"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 16])],
        initializer=[
            numpy_helper.from_array(vectors, "table"), numpy_helper.from_array(head, "head"),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )  # fmt: skip
    divided = divide(helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    ids = np.random.default_rng(2).integers(20_000, 40_000, (32, 3)).astype(np.float32)
    method = quantize_methods.find(name)
    assert method.make is not None
    assert [node.op_type for node in index_nodes(divided.body)] == ["Cast"]

    made = divided.with_body(method.make(divided.body, [{"ids": ids}]))

    own, answered = (
        quantize_speed.session(graph.SerializeToString()).run(None, {"ids": ids})[0] for graph in (divided.whole, made)
    )
    assert np.corrcoef(own.ravel(), answered.ravel())[0, 1] > 0.98
    assert made.ByteSize() < 0.55 * divided.whole.ByteSize()


def test_body_of_another_opset_is_refused(divided: Divided) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(divided.body)
    other.opset_import[0].version = 21

    with pytest.raises(ValueError, match="needs opset 21"):
        divided.with_body(other)


def test_bytes_of_weights_are_counted_by_node(divided: Divided) -> None:
    names = [layer.name for layer in layers(divided.body)]

    assert weight_bytes(divided.body, names[:1]) == 4 * 65 * quantizable.HIDDEN
    assert weight_bytes(divided.body) == 4 * (65 + 1 + quantizable.HIDDEN + 10) * quantizable.HIDDEN + 40


def test_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(BadParameter, match="did you mean 'dynamic'"):
        quantize_methods.find("dynamc")


def test_damaged_graph_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ONNX Runtime cannot load the graph"):
        quantize_speed.session(b"nonsense")

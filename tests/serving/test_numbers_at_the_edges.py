"""Numbers that float32 cannot hold, and answers that are no numbers: the same in every protocol, and never a label of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from support.asgi_client import AsgiClient, Reply

from stagewright.components.export import onnx_adapter
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.batch import BatchInput, PendingRequest, compute
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.model_source import ModelFiles
from stagewright.components.predictor.wire.errors import NoNumber
from stagewright.components.runtime.signature import Input, Signature


def served(graph: onnx.ModelProto, signature: Signature) -> AsgiClient:
    files = ModelFiles("here", graph.SerializeToString(), json.dumps(signature.to_dict()).encode())
    application = Application("m")
    application.models.serve(OnnxModel.load(files, "m", version="v1"))
    return AsgiClient(application)


def regression() -> tuple[onnx.ModelProto, Signature]:
    """The logarithm of a number, which zero and what is below it do not have."""
    graph = helper.make_graph(
        [helper.make_node("Log", ["x"], ["prediction"])], "log",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 1])],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), Signature(
        "regression", (Input("x", "numeric"),)
    )


def classifier() -> tuple[onnx.ModelProto, Signature]:
    """Softmax of [x, -x], after a product with 1e30 that is infinite for large numbers."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "large"], ["y"]), helper.make_node("Neg", ["y"], ["z"]),
            helper.make_node("Concat", ["y", "z"], ["both"], axis=1),
            helper.make_node("Softmax", ["both"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "softmax", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [helper.make_tensor("large", TensorProto.FLOAT, [], [1e30])],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), Signature(
        "binary", (Input("x", "numeric"),), classes=(0, 1)
    )


def v1(client: AsgiClient, rows: list[Any]) -> Reply:
    return client.post("/v1/models/m:predict", {"instances": rows})


def v2(client: AsgiClient, rows: list[Any]) -> Reply:
    tensor = {"name": "x", "datatype": "FP64", "shape": [len(rows), 1], "data": rows}
    return client.post("/v2/models/m/infer", {"inputs": [tensor]})


def binary(client: AsgiClient, rows: list[Any]) -> Reply:
    data = np.array(rows, np.float32).tobytes()
    header = json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [len(rows), 1], "parameters": {"binary_data_size": len(data)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return client.post("/v2/models/m/infer", body=header + data, headers={"inference-header-content-length": str(len(header))})


ASK = pytest.mark.parametrize("ask", [v1, v2, binary])
SENTENCE = "row {}: the prediction is not a finite number; the row's values may be too large for this model"


@ASK
@pytest.mark.parametrize(("rows", "row"), [([-1.0], 0), ([0.0], 0), ([1.0, 2.0, -3.0, 0.0], 2)])
def test_an_answer_that_is_no_number_is_an_error_of_a_regression(ask: Any, rows: list[float], row: int) -> None:
    reply = ask(served(*regression()), rows)

    assert (reply.status, reply.json["error"]) == (400, SENTENCE.format(row))


@ASK
def test_an_answer_that_is_no_number_is_an_error_of_a_classifier_and_never_a_label(ask: Any) -> None:
    client = served(*classifier())

    assert ask(client, [1e-31]).status == 200
    reply = ask(client, [1e-31, 1e9])
    assert (reply.status, reply.json["error"]) == (400, SENTENCE.format(1))


def test_others_of_the_batch_are_answered() -> None:
    graph, signature = regression()
    files = ModelFiles("here", graph.SerializeToString(), json.dumps(signature.to_dict()).encode())
    model = OnnxModel.load(files, "m")
    given = [[1.0], [-1.0], [np.e], [1.0, 0.0]]
    jobs = [PendingRequest(BatchInput(len(rows), [[one] for one in rows]), None, 0.0, None, None) for rows in given]  # type: ignore[arg-type]

    assert compute(model.columns, jobs, model.run) == 2
    assert [type(job.result) for job in jobs[1::2]] == [NoNumber, NoNumber]
    assert [job.result.row for job in jobs[1::2]] == [0, 1]  # type: ignore[union-attr]
    assert [float(job.result.outputs["prediction"][0]) for job in jobs[::2]] == [0.0, 1.0]  # type: ignore[union-attr]


def trained() -> tuple[onnx.ModelProto, Signature]:
    """As a model that was trained here: what is not finite is missing, and a missing number is 7."""
    nodes = [
        helper.make_node("IsInf", ["x"], ["inf"]), helper.make_node("IsNaN", ["x"], ["nan"]),
        helper.make_node("Or", ["inf", "nan"], ["gap"]), helper.make_node("Where", ["gap", "seven", "x"], ["prediction"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "missing", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor("seven", TensorProto.FLOAT, [], [7.0])],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), Signature(
        "regression", (Input("x", "numeric", nullable=False),), framework="lightgbm"
    )


LARGEST = 3.4028234663852886e38


@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38, 2**200])
def test_a_number_beyond_float32_is_missing_as_in_training(value: float) -> None:
    client = served(*trained())
    integer = {"name": "x", "datatype": "UINT64", "shape": [1], "data": [2**64 - 1]}

    assert v1(client, [value]).json["predictions"] == [7]
    assert v2(client, [value] if isinstance(value, float) else [float(value)]).json["outputs"][0]["data"] == [7]
    assert v1(client, [[LARGEST]]).json["predictions"] == [np.float32(LARGEST)]
    assert client.post("/v2/models/m/infer", {"inputs": [integer]}).json["outputs"][0]["data"] == [np.float32(2**64)]


def test_infinite_numbers_in_bytes_are_missing_as_in_training() -> None:
    reply = binary(served(*trained()), [np.inf, -np.inf, 1.5])

    assert np.frombuffer(reply.body[-12:], np.float32).tolist() == [7, 7, 1.5]


def test_null_is_refused_where_the_model_needs_a_number() -> None:
    reply = v1(served(*trained()), [None])

    assert (reply.status, reply.json["error"]) == (400, "column 'x', row 0: no value, and the model needs one")


def test_a_graph_from_elsewhere_refuses_what_does_not_fit() -> None:
    graph, signature = onnx_adapter.adapt(regression()[0], source="log.onnx")
    client = served(graph, signature)

    for ask in (v1, v2):
        reply = ask(client, [1.0, 1e39])
        assert (reply.status, reply.json["error"]) == (400, "column 'x', row 1: 1e+39 does not fit FP32")


def test_tensors_of_a_table_hold_finite_numbers(tmp_path: Path) -> None:
    from stagewright.components.runtime.columns import arrays
    from stagewright.components.runtime.errors import InputError

    series = pl.Series("signal", [[1.0, 2.0], [1e300, 0.0]], dtype=pl.List(pl.Float64))
    with pytest.raises(InputError, match="column 'signal' holds a number in row 1 that is missing or too large for float32"):
        arrays(series, "tensor", (2,))

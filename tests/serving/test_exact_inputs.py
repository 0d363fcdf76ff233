"""A graph from elsewhere is fed its own types exactly: what a type cannot hold is refused, never another value's answer."""

import json
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from support.asgi_client import AsgiClient

from stagewright.components.export import onnx_adapter
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.model_source import ModelFiles
from stagewright.components.runtime.columns import feed_of
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Input, Signature

ELEMENTS = {
    "INT64": TensorProto.INT64, "INT32": TensorProto.INT32, "INT8": TensorProto.INT8, "UINT8": TensorProto.UINT8,
    "FP64": TensorProto.DOUBLE, "FP16": TensorProto.FLOAT16, "BOOL": TensorProto.BOOL,
}  # fmt: skip
LARGE = 2**24  # the first whole number whose successor float32 does not have


def served(datatype: str, *, minus: float = 0, width: int = 1) -> AsgiClient:
    """A graph of one input that answers, in float64, the number less another."""
    element = ELEMENTS[datatype]
    nodes = [helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE)]
    nodes += [helper.make_node("ReduceSum", ["wide", "one"], ["sum"], keepdims=1), helper.make_node("Sub", ["sum", "m"], ["y"])]
    graph = helper.make_graph(
        nodes, "exact", [helper.make_tensor_value_info("x", element, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 1])],
        [helper.make_tensor("m", TensorProto.DOUBLE, [], [minus]), helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    adapted, signature = onnx_adapter.adapt(proto, source="exact.onnx")
    written = json.dumps(signature.to_dict())
    assert Signature.from_dict(json.loads(written)) == signature
    application = Application("m")
    application.models.serve(OnnxModel.load(ModelFiles("here", adapted.SerializeToString(), written.encode()), "m"))
    return AsgiClient(application)


def v1(client: AsgiClient, values: list[Any]) -> Any:
    return client.post("/v1/models/m:predict", {"instances": values})


def v2(client: AsgiClient, datatype: str, values: list[Any]) -> Any:
    tensor = {"name": "x", "datatype": datatype, "shape": [len(values), 1], "data": values}
    return client.post("/v2/models/m/infer", {"inputs": [tensor]})


def binary(client: AsgiClient, datatype: str, values: np.ndarray) -> Any:
    parameters = {"binary_data_size": values.nbytes}
    tensor = {"name": "x", "datatype": datatype, "shape": [len(values), 1], "parameters": parameters}
    header = json.dumps({"inputs": [tensor]}).encode()
    return client.post(
        "/v2/models/m/infer", body=header + values.tobytes(), headers={"inference-header-content-length": str(len(header))}
    )


@pytest.mark.parametrize("value", [LARGE, LARGE + 1, 2**53 - 1, 40, -LARGE - 1])
def test_whole_numbers_keep_every_digit(value: int) -> None:
    client = served("INT64", minus=LARGE)
    expected = [float(value - LARGE)]

    assert v1(client, [value]).json["predictions"] == expected
    assert v1(client, [float(value)]).json["predictions"] == expected
    assert v2(client, "INT64", [value]).json["outputs"][0] == {
        "name": "prediction", "datatype": "FP64", "shape": [1], "data": expected,
    }  # fmt: skip
    assert v2(client, "FP64", [value]).json["outputs"][0]["data"] == expected
    assert binary(client, "INT64", np.array([value])).json["outputs"][0]["data"] == expected
    assert binary(client, "FP64", np.array([value], np.float64)).json["outputs"][0]["data"] == expected


@pytest.mark.parametrize("value", [1000000000.5, 999999998.75, 0.1, 1e300])
def test_float64_is_kept_both_ways(value: float) -> None:
    client = served("FP64", minus=1.0)

    assert v1(client, [value]).json["predictions"] == [value - 1.0]
    assert v2(client, "FP64", [value]).json["outputs"][0]["data"] == [value - 1.0]
    assert binary(client, "FP64", np.array([value])).json["outputs"][0]["data"] == [value - 1.0]


@pytest.mark.parametrize(
    ("datatype", "value", "problem"),
    [
        ("INT64", 40.7, "40.7 is not a whole number, and the model takes INT64"),
        ("INT64", None, "no value, and the model needs one"),
        ("INT64", "40", "'40' is not a number"),
        ("INT64", 2**63, f"{2**63} does not fit INT64 ({-(2**63)} to {2**63 - 1})"),
        ("INT32", 2**31, f"{2**31} does not fit INT32 ({-(2**31)} to {2**31 - 1})"),
        ("INT32", 1e300, "1e+300 does not fit INT32 (-2147483648 to 2147483647)"),
        ("INT8", 128, "128 does not fit INT8 (-128 to 127)"),
        ("UINT8", -1, "-1 does not fit UINT8 (0 to 255)"),
        ("BOOL", 2, "2 is not true or false"),
        ("BOOL", None, "no value, and the model needs one"),
        ("FP64", 2**53 + 1, "9007199254740993 does not fit FP64"),
        ("FP16", 70000.0, "70000.0 does not fit FP16"),
    ],
)
def test_what_a_type_cannot_hold_is_refused(datatype: str, value: Any, problem: str) -> None:
    reply = v1(served(datatype), [1, value])

    assert (reply.status, reply.json["error"]) == (400, f"column 'x', row 1: {problem}")


@pytest.mark.parametrize(("datatype", "values"), [("INT8", [-128, 127]), ("UINT8", [0, 255]), ("BOOL", [True, False]),
                                                  ("FP16", [0.5, 65504.0]), ("INT32", [-(2**31), 2**31 - 1])])  # fmt: skip
def test_what_a_type_just_holds_is_kept(datatype: str, values: list[Any]) -> None:
    assert v1(served(datatype), values).json["predictions"] == [float(value) for value in values]


@pytest.mark.parametrize("value", [40.7, np.nan, np.inf, 1e19])
def test_bytes_that_are_no_whole_number_are_refused(value: float) -> None:
    assert binary(served("INT64"), "FP64", np.array([value])).status == 400


def test_several_columns_of_whole_numbers_in_one_tensor() -> None:
    client = served("INT64", width=2)
    table = {"name": "all", "datatype": "INT64", "shape": [1, 2], "data": [LARGE + 1, 1]}

    assert v1(client, [[LARGE + 1, 1]]).json["predictions"] == [LARGE + 2]
    assert client.post("/v2/models/m/infer", {"inputs": [table]}).json["outputs"][0]["data"] == [LARGE + 2]


def test_a_table_is_fed_exactly_too() -> None:
    column = Input("x", "numeric", False, exact="INT64")
    fed = feed_of(pl.Series("x", [LARGE + 1, 2**62 + 1]), column, {})

    assert (fed.dtype, fed.ravel().tolist()) == (np.int64, [LARGE + 1, 2**62 + 1])
    for values, problem in (([1.5], "that are not whole"), ([None, 1], "is missing in row 0"), ([1e30], "do not fit INT64")):
        with pytest.raises(InputError, match=problem):
            feed_of(pl.Series("x", values), column, {})


def test_a_signature_that_says_something_else_is_refused() -> None:
    document = {"task": "regression", "inputs": [{"name": "x", "kind": "categorical", "exact": "INT64"}]}
    with pytest.raises(ValueError, match="is categorical of exact type 'INT64'"):
        Signature.from_dict(document)
    assert onnx.__version__

"""Building an ONNX graph: inputs by column, constants, operations, blocks of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stagewright.components.runtime.feature_graph import OUTPUT, Feature
from stagewright.components.runtime.signature import Input

# The same as the converters of the estimators write: both graphs are merged into one model.
OPSETS = {"": 18, "ai.onnx.ml": 3}
MICROSOFT, ML = "com.microsoft", "ai.onnx.ml"
IR_VERSION = 10
_ELEMENTS = {
    "float": TensorProto.FLOAT, "int64": TensorProto.INT64, "string": TensorProto.STRING, "uint8": TensorProto.UINT8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """A float32 tensor of shape [N, features] inside the graph."""

    tensor: str
    features: tuple[Feature, ...]


class Graph:
    """A graph under construction. Tensors are referred to by name; generated names never equal a column's name."""

    def __init__(self, columns: Sequence[Input]) -> None:
        """Start with one input per column: [N, 1], [N, *shape] for an image, [N, L] for a tokenized text."""
        self._inputs = [_value(column) for column in columns]
        self._prefix = "preprocessing/"
        while any(column.name.startswith(self._prefix) for column in columns):
            self._prefix += "/"
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any) -> str:
        """A constant tensor, of the shape of `value`."""
        name = f"{self._prefix}constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def apply(self, operation: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Apply an operation with one output."""
        name = f"{self._prefix}{operation}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def cast(self, tensor: str, dtype: Any) -> str:
        return self.apply("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def side_by_side(self, tensors: Sequence[str]) -> str:
        """Tensors of shape [N, k] as one of shape [N, sum of k]."""
        return tensors[0] if len(tensors) == 1 else self.apply("Concat", *tensors, axis=1)

    def select(self, tensor: str, columns: Sequence[int]) -> str:
        """Some columns of a tensor of shape [N, k]."""
        return self.apply("Gather", tensor, self.constant(columns, np.int64), axis=1)

    def build(self, output: str, *, element: int = TensorProto.FLOAT, shape: Sequence[Any]) -> bytes:
        """The checked model with one output. Equal constructions give equal bytes."""
        self._nodes.append(helper.make_node("Identity", [output], [OUTPUT], name=f"{self._prefix}output"))
        answer = helper.make_tensor_value_info(OUTPUT, element, shape)
        graph = helper.make_graph(self._nodes, OUTPUT, self._inputs, [answer], self._constants)
        domains = sorted({"", ML} | {node.domain for node in self._nodes})
        opsets = [helper.make_opsetid(domain, OPSETS.get(domain, 1)) for domain in domains]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="stagewright")
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)


def _value(column: Input) -> onnx.ValueInfoProto:
    sizes = ["L" if size is None else size for size in column.graph_shape]
    return helper.make_tensor_value_info(column.name, _ELEMENTS[column.graph_type], ["N", *sizes])

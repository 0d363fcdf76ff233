"""The whole model as one ONNX graph: fitted features, estimator, and the head that turns probabilities into a label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from stagewright.components.runtime.feature_graph import OUTPUT
from stagewright.components.runtime.model import GRAPH_THRESHOLD, Label, Model

PREFIX = "estimator/"
PROBABILITIES, LABEL, PREDICTION = "probabilities", "label", "prediction"


def whole(model: Model) -> onnx.ModelProto:
    """One graph from raw columns to the answer.

    Outputs are `label` [N] and `probabilities` [N, C], or `prediction` [N].
    """
    classes = model.metadata.classes
    raw = PROBABILITIES if classes else PREDICTION
    graph = _joined(model.features.proto(), model.estimator.to_onnx(), PREFIX + raw)
    rows = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param or None
    if classes:
        _rename(graph, PREFIX + PROBABILITIES, PROBABILITIES)
        head, constants = _label_head(classes, model.metadata.threshold)
        outputs = [
            helper.make_tensor_value_info(LABEL, _element(classes), [rows]),
            helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [rows, len(classes)]),
        ]
    else:
        flat = numpy_helper.from_array(np.array([-1], np.int64), "head/shape")
        head, constants = [helper.make_node("Reshape", [PREFIX + PREDICTION, flat.name], [PREDICTION])], [flat]
        outputs = [helper.make_tensor_value_info(PREDICTION, TensorProto.FLOAT, [rows])]
    graph.graph.node.extend(head)
    graph.graph.initializer.extend(constants)
    del graph.graph.output[:]
    graph.graph.output.extend(outputs)
    graph.graph.name = model.metadata.name or "model"
    graph.producer_name = "stagewright"
    helper.set_model_props(graph, {"framework": model.metadata.framework, "task": model.metadata.task})
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _joined(features: onnx.ModelProto, estimator: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """Both graphs as one with a single output; what only other outputs needed is left out."""
    estimator.ir_version = features.ir_version
    estimator = compose.add_prefix(estimator, PREFIX)
    return compose.merge_models(features, estimator, io_map=[(OUTPUT, PREFIX + OUTPUT)], outputs=[output])


def _rename(graph: onnx.ModelProto, old: str, new: str) -> None:
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _label_head(classes: Sequence[Label], decided_from: float) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants of `runtime.model.decide`: the second of two classes from the threshold on, or the likeliest."""
    names = _constant("head/classes", classes)
    constants = [names]
    if len(classes) == 2:
        second = numpy_helper.from_array(np.array(1, np.int64), "head/second")
        threshold = numpy_helper.from_array(np.array(decided_from, np.float32), GRAPH_THRESHOLD)
        constants += [second, threshold]
        nodes = [
            helper.make_node("Gather", [PROBABILITIES, second.name], ["head/probability"], axis=1),
            helper.make_node("GreaterOrEqual", ["head/probability", threshold.name], ["head/chosen"]),
            helper.make_node("Cast", ["head/chosen"], ["head/class"], to=TensorProto.INT64),
        ]
    else:
        nodes = [helper.make_node("ArgMax", [PROBABILITIES], ["head/class"], axis=1, keepdims=0)]
    return [*nodes, helper.make_node("Gather", [names.name, "head/class"], [LABEL], axis=0)], constants


def _element(classes: Sequence[Label]) -> int:
    """Element type of the label's output; a bool is an int in Python, so it is asked first."""
    first: Any = classes[0]
    if isinstance(first, bool):
        return int(TensorProto.BOOL)
    return int(TensorProto.INT64 if isinstance(first, int) else TensorProto.STRING)


def _constant(name: str, classes: Sequence[Label]) -> onnx.TensorProto:
    values: list[Any] = [value.encode() if isinstance(value, str) else value for value in classes]
    return helper.make_tensor(name, _element(classes), [len(values)], values)

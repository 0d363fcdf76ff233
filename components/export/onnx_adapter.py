"""A bare ONNX graph in the shape that the predictor serves: one input [N, 1] a column, named outputs, and a signature.

Taken are graphs with one tensor [N, F] of numbers, one input a column, or tensors [N, ...] of a fixed shape a row, such as
images; and with a label and probabilities, probabilities alone that a Softmax made, or one number a row. Columns that the graph
wants in another type are cast; the computation itself is left as it is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stagewright.components.export.onnx_labels import add_label, labels_of, named
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Input, Signature

_EXACT: dict[int, str] = {
    TensorProto.DOUBLE: "FP64", TensorProto.FLOAT16: "FP16", TensorProto.INT64: "INT64", TensorProto.INT32: "INT32",
    TensorProto.INT16: "INT16", TensorProto.INT8: "INT8", TensorProto.UINT64: "UINT64", TensorProto.UINT32: "UINT32",
    TensorProto.UINT16: "UINT16", TensorProto.UINT8: "UINT8", TensorProto.BOOL: "BOOL",
}  # fmt: skip
_NUMBERS = {TensorProto.FLOAT, *_EXACT}
_DATATYPES = {datatype: element for element, datatype in _EXACT.items()}
_LABELS = {TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL}
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
_DEFAULT_OPSET = 17
_FLAT = "stagewright_flat_shape"


def load(path: str | Path) -> onnx.ModelProto:
    """Read a graph.

    Raises:
        InputError: If it is no ONNX model, or its weights lie in other files that are missing.
    """
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except Exception as error:  # noqa: BLE001  protobuf and onnx raise errors of many kinds for damaged files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path} is not a usable ONNX model: {reason}") from None
    return proto


def adapt(proto: onnx.ModelProto, *, source: str) -> tuple[onnx.ModelProto, Signature]:
    """The graph as it is served, and its signature.

    Args:
        source: Where it came from, for messages.

    Raises:
        InputError: Saying which input or output is not understood, and what would be.
    """
    adapted = onnx.ModelProto()
    adapted.CopyFrom(proto)
    if not any(opset.domain in {"", "ai.onnx"} for opset in adapted.opset_import):
        adapted.opset_import.append(helper.make_opsetid("", _DEFAULT_OPSET))
    graph = adapted.graph
    inputs = _adapt_inputs(graph, source)
    task, classes = _adapt_outputs(graph, source, named(proto, source))
    onnx.checker.check_model(adapted)
    double = any(value.type.tensor_type.elem_type == TensorProto.DOUBLE for value in graph.output)
    answers = "FP64" if double else "FP32"
    return adapted, Signature(task=task, inputs=inputs, classes=classes, framework="onnx", answers=answers)


def _adapt_inputs(graph: onnx.GraphProto, source: str) -> tuple[Input, ...]:
    stored = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in stored]  # old graphs list their weights as inputs
    if not given:
        raise InputError(f"{source}: the graph takes no inputs")
    columns: list[Input] = []
    nodes: list[onnx.NodeProto] = []
    for value in given:
        element, shape = _tensor(value, source)
        if len(shape) > 2:
            columns.append(_array(graph, value.name, element, shape, nodes, source))
            continue
        kind = _kind(element, value.name, source)
        width = shape[1] if len(shape) == 2 else None
        if not isinstance(width, int) or (width > 1 and len(given) > 1):
            raise InputError(
                f"{source}: input '{value.name}' has shape {_shown(shape)}; expected one tensor [N, features] or one input "
                "[N, 1] for each column"
            )
        names = [value.name] if width == 1 else [f"{value.name}_{position}" for position in range(width)]
        exact = _EXACT.get(element)
        nullable = exact in (None, "FP64", "FP16")
        columns += [Input(name, kind, nullable, exact=exact) for name in names]
        nodes += _assemble(graph, value.name, TensorProto.FLOAT, names)
    del graph.input[:]
    graph.input.extend(helper.make_tensor_value_info(column.name, _fed(column), ["N", *column.shape]) for column in columns)
    computation = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *computation])
    return tuple(columns)


def _array(
    graph: onnx.GraphProto,
    name: str,
    element: int,
    shape: Sequence[int | str | None],
    nodes: list[onnx.NodeProto],
    source: str,
) -> Input:
    """An input whose rows have a shape: bytes [channels, height, width] are an image, numbers a tensor."""
    sizes = tuple(size for size in shape[1:] if isinstance(size, int) and size > 0)
    if len(sizes) < len(shape) - 1 or isinstance(shape[0], int):
        raise InputError(
            f"{source}: input '{name}' has shape {_shown(shape)}; expected any number of rows, each of one fixed "
            "shape; export the graph with a free first axis only"
        )
    image = element == TensorProto.UINT8 and len(sizes) == 3
    if not image:
        _kind(TensorProto.FLOAT if element == TensorProto.UINT8 else element, name, source)
        nodes += _assemble(graph, name, element, [name])
    return Input(name, "image" if image else "tensor", nullable=False, shape=sizes)


def _assemble(graph: onnx.GraphProto, name: str, element: int, columns: Sequence[str]) -> list[onnx.NodeProto]:
    """Nodes that make a tensor of the graph from its columns; the graph then reads what they make."""
    nodes: list[onnx.NodeProto] = []
    made = name
    if list(columns) != [name]:
        made = f"{name}__joined"
        nodes.append(helper.make_node("Concat", list(columns), [made], axis=1))
    if element not in {TensorProto.FLOAT, TensorProto.STRING}:
        nodes.append(helper.make_node("Cast", [made], [f"{name}__cast"], to=element))
        made = f"{name}__cast"
    if made != name:
        _rename(graph, name, made)
    return nodes


def _fed(column: Input) -> int:
    kind = column.kind
    if column.exact is not None:
        return int(_DATATYPES[column.exact])
    return int({"categorical": TensorProto.STRING, "image": TensorProto.UINT8}.get(kind, TensorProto.FLOAT))


def _adapt_outputs(graph: onnx.GraphProto, source: str, told: Sequence[Any]) -> tuple[str, tuple[Any, ...] | None]:
    """Name and shape the outputs as the predictor expects; the task and the classes.

    Args:
        told: Labels that the model's metadata names.
    """
    given = {value.name: _tensor(value, source) for value in graph.output}
    labels = [name for name, (element, shape) in given.items() if element in _LABELS and _is_column(shape)]
    tables = [name for name, (element, shape) in given.items() if element in _FLOATS and len(shape) == 2 and shape[1] != 1]
    values = [name for name, (element, shape) in given.items() if element in _FLOATS and _is_column(shape)]
    if len(given) == 2 and len(labels) == len(tables) == 1:
        label, table = labels[0], tables[0]
        classes = labels_of(graph, label, given[label][0], given[table][1][1], source, told)
        _publish(graph, {label: ("label", given[label][0]), table: ("probabilities", _kept(given[table][0]))}, len(classes))
        return "binary" if len(classes) == 2 else "multiclass", classes
    if len(given) == len(tables) == 1:
        classes = _labelled(graph, tables[0], given[tables[0]][1][1], source, told)
        return "binary" if len(classes) == 2 else "multiclass", classes
    if len(given) == len(values) == 1:
        _publish(graph, {values[0]: ("prediction", _kept(given[values[0]][0]))}, 0)
        return "regression", None
    shown = ", ".join(f"'{name}' {_shown(shape)}" for name, (_, shape) in given.items())
    raise InputError(
        f"{source}: the graph answers {shown}; expected a label [N] and probabilities [N, classes], or one number [N]"
    )


def _kept(element: int) -> int:
    """The type of numbers that are answered: float64 stays, all else is float32."""
    return int(TensorProto.DOUBLE if element == TensorProto.DOUBLE else TensorProto.FLOAT)


def _labelled(graph: onnx.GraphProto, table: str, width: int | str | None, source: str, told: Sequence[Any]) -> tuple[Any, ...]:
    """Give a graph that answers probabilities alone a label: the name of the likeliest class, or its number."""
    made_by = next((node.op_type for node in graph.node if table in node.output), "nothing")
    if made_by != "Softmax" or not isinstance(width, int):
        raise InputError(
            f"{source}: the graph answers '{table}' [N, {width or '?'}], made by {made_by}; end a classifier with a "
            "Softmax over a known number of classes"
        )
    if told and len(told) != width:
        raise InputError(f"{source}: the metadata property 'classes' names {len(told)} labels for {width} probabilities")
    classes = tuple(told or range(width))
    label, element = add_label(graph, table, classes)
    _publish(graph, {label: ("label", element), table: ("probabilities", TensorProto.FLOAT)}, width)
    return classes


def _publish(graph: onnx.GraphProto, outputs: dict[str, tuple[str, int]], classes: int) -> None:
    """Give the outputs their names; what the graph calls so inside gets another."""
    raw: dict[str, str] = {}
    for name in [*outputs, *(public for public, _ in outputs.values())]:
        raw.setdefault(name, f"{name}__raw")
    for name, inner in raw.items():
        _rename(graph, name, inner)
    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), _FLAT))
    del graph.output[:]
    for name, (public, element) in outputs.items():
        source = raw[name]
        if element == TensorProto.FLOAT:
            graph.node.append(helper.make_node("Cast", [source], [f"{public}__float"], to=TensorProto.FLOAT))
            source = f"{public}__float"
        if public == "probabilities":
            graph.node.append(helper.make_node("Identity", [source], [public]))
            graph.output.append(helper.make_tensor_value_info(public, element, ["N", classes]))
        else:
            graph.node.append(helper.make_node("Reshape", [source, _FLAT], [public]))
            graph.output.append(helper.make_tensor_value_info(public, element, ["N"]))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever the graph, or a graph inside it, makes or reads it."""
    for tensor in graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    for info in (*graph.value_info, *graph.output):
        info.name = new if info.name == old else info.name
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    _rename(inner, old, new)


def _is_column(shape: Sequence[int | str | None]) -> bool:
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _kind(element: int, name: str, source: str) -> str:
    if element == TensorProto.STRING:
        return "categorical"
    if element == TensorProto.BOOL:
        return "boolean"
    if element in _NUMBERS:
        return "numeric"
    type_name = TensorProto.DataType.Name(element).lower()
    raise InputError(f"{source}: input '{name}' is of type {type_name}; expected numbers or strings")


def _tensor(value: onnx.ValueInfoProto, source: str) -> tuple[int, list[int | str | None]]:
    if not value.type.HasField("tensor_type"):
        raise InputError(f"{source}: '{value.name}' is not a tensor; export with zipmap=False, so that probabilities are one")
    tensor = value.type.tensor_type
    dimensions: list[int | str | None] = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim
    ]
    return tensor.elem_type, dimensions


def _shown(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"

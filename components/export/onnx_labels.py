"""Which labels a foreign classifier's probabilities are for: read from the label back to the constant that it comes from."""

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError

PROPERTY = "classes"
_SHAPING = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast"}
_PICKING = {"Gather", "ArrayFeatureExtractor"}


def named(proto: onnx.ModelProto, source: str) -> list[Any]:
    """The labels that the model's metadata property `classes` names, in the order of the probabilities; empty without it.

    Raises:
        InputError: If it is no list of labels.
    """
    given = next((one.value for one in proto.metadata_props if one.key == PROPERTY), None)
    if given is None:
        return []
    try:
        labels = read_json(given)
    except ValueError:
        labels = None
    kinds = {type(label) for label in labels} if isinstance(labels, list) else set()
    if len(kinds) != 1 or not kinds <= {str, int, bool} or len(set(labels)) < len(labels):
        raise InputError(f"{source}: the metadata property '{PROPERTY}' is {given[:100]!r}; expected a JSON list of labels, "
                         'such as ["no", "yes"]')  # fmt: skip
    return list(labels)


def labels_of(
    graph: onnx.GraphProto, label: str, element: int, width: int | str | None, source: str, told: Sequence[Any] = ()
) -> tuple[Any, ...]:
    """The labels in the order of the probabilities.

    Args:
        label: The output that is the label.
        element: Its type.
        width: Number of probabilities, where the graph says it.
        source: Where the graph came from, for messages.
        told: Labels that the model's metadata names, for a graph that does not tell.

    Raises:
        InputError: If the graph does not tell them.
    """
    size = width if isinstance(width, int) else None
    found = _behind(graph, label, size) or list(told) or _only(graph, element, size)
    if not found and element != TensorProto.STRING and size is not None:
        found = list(range(size))
    labels = [_typed(one, element) for one in found]
    if not labels or None in labels or (size is not None and len(labels) != size) or len(set(labels)) < len(labels):
        example = f"onnx.helper.set_model_props(model, {{'{PROPERTY}': '[\"no\", \"yes\"]'}})"
        raise InputError(
            f"{source}: the graph does not tell which labels its probabilities are for; name them, as it answers them, in its "
            f"metadata property '{PROPERTY}', as in {example}"
        )
    return tuple(labels)


def add_label(graph: onnx.GraphProto, probabilities: str, labels: Sequence[Any]) -> tuple[str, int]:
    """Add a label to a graph that has probabilities alone: the likeliest class's; its name and its type."""
    first, label = labels[0], f"{probabilities}__label"
    element = TensorProto.BOOL if isinstance(first, bool) else TensorProto.INT64
    element = TensorProto.STRING if isinstance(first, str) else element
    stored: Any = [one.encode() if isinstance(one, str) else one for one in labels]
    graph.initializer.append(helper.make_tensor(f"{label}__names", element, [len(labels)], stored))
    graph.node.append(helper.make_node("ArgMax", [probabilities], [f"{label}__number"], axis=1, keepdims=0))
    graph.node.append(helper.make_node("Gather", [f"{label}__names", f"{label}__number"], [label], axis=0))
    return label, int(element)


def _typed(label: Any, element: int) -> Any:
    """A label in the type that the graph answers; None if it cannot be one of these."""
    if element == TensorProto.STRING:
        return label if isinstance(label, str) else str(label) if type(label) is int else None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int):
        return None
    return bool(label) if element == TensorProto.BOOL else int(label)


def _behind(graph: onnx.GraphProto, name: str, width: int | None) -> list[Any]:
    """The labels from which a value is picked; empty if the way there is not understood."""
    made_by = {output: node for node in graph.node for output in node.output}
    node = made_by.get(name)
    if node is None:
        return []
    if node.op_type in _SHAPING:
        return _behind(graph, node.input[0], width)
    if node.op_type in _PICKING and _attribute(node, "axis", 0) == 0:
        return _constant(graph, node.input[0])
    if node.op_type == "LabelEncoder":
        keys, values = (list(next(_lists(node, kind), [])) for kind in ("keys_", "values_"))
        translated = dict(zip(keys, values, strict=False))
        return [translated.get(one) for one in _behind(graph, node.input[0], width)]
    if node.op_type == "ArgMax" and width is not None:
        return list(range(width))
    return next(_lists(node, "classlabels_"), []) if node.output[0] == name else []


def _only(graph: onnx.GraphProto, element: int, width: int | None) -> list[Any]:
    """The only list of labels of the right length and type anywhere in the graph; empty if there are several different ones."""
    lists = [labels for node in graph.node for labels in _lists(node, "classlabels_")]
    lists += [_constant(graph, node.input[0]) for node in graph.node if node.op_type == "ArrayFeatureExtractor"]
    fitting = [
        labels for labels in lists
        if labels and (width is None or len(labels) == width) and isinstance(labels[0], str) == (element == TensorProto.STRING)
    ]  # fmt: skip
    return fitting[0] if fitting and all(labels == fitting[0] for labels in fitting) else []


def _constant(graph: onnx.GraphProto, name: str) -> list[Any]:
    """The values of a constant; empty if it is none."""
    tensor = next((one for one in graph.initializer if one.name == name), None)
    if tensor is None:
        node = next((one for one in graph.node if one.op_type == "Constant" and name in one.output), None)
        tensor = next((one.t for one in node.attribute if one.name == "value"), None) if node is not None else None
    if tensor is None:
        return []
    return [_text(value) for value in numpy_helper.to_array(tensor).reshape(-1).tolist()]


def _lists(node: onnx.NodeProto, prefix: str) -> Iterator[list[Any]]:
    for attribute in node.attribute:
        if attribute.name.startswith(prefix):
            values = [*attribute.strings, *attribute.ints, *attribute.floats]
            if values:
                yield [_text(value) for value in values]


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value

"""Which labels a foreign classifier's probabilities are for."""

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import TensorProto, numpy_helper

from stagewright.components.runtime.errors import InputError


def labels_of(graph: onnx.GraphProto, element: int, width: int | str | None, source: str) -> tuple[Any, ...]:
    """The labels in the order of the probabilities, from the classifier's node or from the table it picks them from.

    Args:
        element: Type of the label.
        width: Number of probabilities, where the graph says it.
        source: Where the graph came from, for messages.

    Raises:
        InputError: If the graph does not tell them.
    """
    found = _class_labels(graph.node) or _class_table(graph, element)
    if not found and element != TensorProto.STRING and isinstance(width, int):
        found = list(range(width))
    if not found or (isinstance(width, int) and len(found) != width):
        raise InputError(f"{source}: the graph does not tell which labels its probabilities are for")
    return tuple(bool(label) for label in found) if element == TensorProto.BOOL else tuple(found)


def _class_labels(nodes: Iterable[onnx.NodeProto]) -> list[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_"):
                labels = [text.decode() for text in attribute.strings] or list(attribute.ints)
                if labels:
                    return labels
    return []


def _class_table(graph: onnx.GraphProto, element: int) -> list[Any]:
    """skl2onnx keeps the labels of most other classifiers in a constant that an ArrayFeatureExtractor picks from."""
    picked = {node.input[0] for node in graph.node if node.op_type == "ArrayFeatureExtractor"}
    for tensor in graph.initializer:
        if tensor.name in picked and tensor.data_type in {element, TensorProto.INT32, TensorProto.INT64}:
            values = numpy_helper.to_array(tensor).reshape(-1).tolist()
            return [value.decode() if isinstance(value, bytes) else value for value in values]
    return []

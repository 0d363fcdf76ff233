"""Whole numbers that travel as floats: token ids and codes of categories, which must arrive exactly as they were sent."""

import onnx
from onnx import TensorProto

from stagewright.components.optimization.quantization.graph import layers

_WHOLE = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)


def index_nodes(body: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Casts of floats to whole numbers and what leads to them, in the order of the graph.

    Rounding any of these would look up another token or another row of a table. A cast behind a layer is left out: what a
    layer answers is not an index.
    """
    nodes = list(body.graph.node)
    maker = {name: node for node in nodes for name in node.output}
    weighted = {layer.name for layer in layers(body)}
    found: set[str] = set()
    for node in nodes:
        if node.op_type == "Cast" and any(attribute.name == "to" and attribute.i in _WHOLE for attribute in node.attribute):
            leading = _leading_to(node, maker)
            if leading.isdisjoint(weighted):
                found |= leading
    return [node for node in nodes if node.name in found]


def _leading_to(node: onnx.NodeProto, maker: dict[str, onnx.NodeProto]) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current.name not in found:
            found.add(current.name)
            waiting += [maker[name] for name in current.input if name in maker]
    return found

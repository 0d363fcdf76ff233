"""Half precision: weights and activations in float16, for GPUs that compute in it."""

from graphlib import TopologicalSorter

import onnx
from onnx import TensorProto, helper

from stagewright.components.optimization.quantization.index import index_nodes


def to_float16(body: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float16, with float32 inputs and outputs.

    What makes whole numbers of floats is taken out before and put back after: a converter casts every input to float16, whose
    eleven bits have no room for the ids of a vocabulary.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    given = onnx.ModelProto()
    given.CopyFrom(body)
    exact = index_nodes(given)
    names = {node.name for node in exact}
    rest = [node for node in given.graph.node if node.name not in names]
    made_here = {name for node in exact for name in node.output}
    handed_over = [name for name in dict.fromkeys(name for node in rest for name in node.input) if name in made_here]
    types = {value.name: value for value in onnx.shape_inference.infer_shapes(given).graph.value_info}
    own_inputs = list(given.graph.input)
    del given.graph.node[:]
    given.graph.node.extend(rest)
    given.graph.input.extend(
        types.get(name) or helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in handed_over
    )
    constants = [constant for constant in given.graph.initializer if any(constant.name in node.input for node in exact)]
    converted: onnx.ModelProto = convert_float_to_float16(given, keep_io_types=True)
    after = list(converted.graph.node)
    del converted.graph.node[:], converted.graph.input[:]
    converted.graph.node.extend([*exact, *_sorted(after, {*handed_over, *(value.name for value in own_inputs)})])
    converted.graph.input.extend(own_inputs)
    del converted.graph.value_info[:]
    held = {constant.name for constant in converted.graph.initializer}
    converted.graph.initializer.extend(constant for constant in constants if constant.name not in held)
    return converted


def _sorted(nodes: list[onnx.NodeProto], given: set[str]) -> list[onnx.NodeProto]:
    """Nodes in an order in which each follows what it reads; the converter appends its casts at the end."""
    makers = {name: position for position, node in enumerate(nodes) for name in node.output}
    before = {
        position: [makers[name] for name in node.input if name and name in makers and name not in given]
        for position, node in enumerate(nodes)
    }
    return [nodes[position] for position in TopologicalSorter(before).static_order()]

"""The part of a served graph that quantization may touch: the estimator, taken out of the graph and put back into it.

What turns raw columns into features and what turns probabilities into a label stay node for node what they were: they never
reach a quantizer. In a graph that export_model made, the estimator's tensors bear its prefix; another graph is taken whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import onnx
from onnx import AttributeProto, TensorProto, helper

from stagewright.components.export.graph import PREFIX, PROBABILITIES

LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "LSTM", "GRU")
LEAST_WEIGHTS = 64  # of a layer that is worth a look; a smaller table is an index, a scale or a constant
_FLOATS = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.DOUBLE: 8}


@dataclass(frozen=True, slots=True)
class Layer:
    """A node with weights that a method can make smaller.

    Attributes:
        weights: How many numbers it holds.
    """

    name: str
    operator: str
    weights: int


@dataclass(frozen=True, slots=True)
class Divided:
    """A graph and its estimator as a graph of its own.

    Attributes:
        before: Names of the tensors that the estimator takes.
        after: Names of the tensors that it makes.
    """

    whole: onnx.ModelProto
    body: onnx.ModelProto
    before: tuple[str, ...]
    after: tuple[str, ...]

    def features(self) -> onnx.ModelProto:
        """The graph up to the estimator: raw columns in, what the estimator takes out."""
        graph = onnx.ModelProto()
        graph.CopyFrom(self.whole)
        del graph.graph.node[:], graph.graph.output[:]
        preparing, _ = _around(self.whole, self.body)
        graph.graph.node.extend(preparing)
        made = {name for node in preparing for name in node.output}
        graph.graph.output.extend(value for value in self.body.graph.input if value.name in made)
        _keep_constants(graph.graph, set(_used(preparing)))
        return graph

    def with_body(self, body: onnx.ModelProto) -> onnx.ModelProto:
        """The whole graph with another estimator in the place of its own.

        Raises:
            ValueError: If the other one takes or makes other tensors, or speaks another version of ONNX.
        """
        _check_fits(self.body, body, self.whole)
        graph = onnx.ModelProto()
        graph.CopyFrom(self.whole)
        preparing, deciding = _around(self.whole, self.body)
        del graph.graph.node[:], graph.graph.value_info[:]
        graph.graph.node.extend([*preparing, *body.graph.node, *deciding])
        own = set(_used([*preparing, *deciding]))
        _keep_constants(graph.graph, own)
        held = {constant.name for constant in graph.graph.initializer}
        graph.graph.initializer.extend(constant for constant in body.graph.initializer if constant.name not in held)
        known = {opset.domain for opset in graph.opset_import}
        needed = {node.domain for node in body.graph.node} - known
        graph.opset_import.extend(opset for opset in body.opset_import if opset.domain in needed)
        graph.ir_version = max(graph.ir_version, body.ir_version)
        onnx.checker.check_model(graph)
        return graph


def divide(whole: onnx.ModelProto) -> Divided:
    """Take the estimator out of a served graph; every node gets a name, which quantizers need."""
    whole = _named(whole)
    nodes = [node for node in whole.graph.node if _is_estimator(node)] or list(whole.graph.node)
    chosen = {id(node) for node in nodes}
    made = {name for node in nodes for name in node.output if name}
    constants = {constant.name for constant in whole.graph.initializer}
    others = [node for node in whole.graph.node if id(node) not in chosen]
    wanted = {*_used(others), *(value.name for value in whole.graph.output)}
    before = tuple(dict.fromkeys(name for name in _used(nodes) if name and name not in made and name not in constants))
    after = tuple(dict.fromkeys(name for node in nodes for name in node.output if name in wanted))
    types = _types(whole)
    body = onnx.ModelProto()
    body.CopyFrom(whole)
    del body.graph.node[:], body.graph.input[:], body.graph.output[:], body.graph.value_info[:]
    body.graph.node.extend(nodes)
    body.graph.input.extend(_type(types, name) for name in before)
    body.graph.output.extend(_type(types, name) for name in after)
    _keep_constants(body.graph, set(_used(nodes)))
    return Divided(whole, body, before, after)


def layers(body: onnx.ModelProto) -> tuple[Layer, ...]:
    """Nodes whose weights are constants of floats, in the order of the graph."""
    constants = {constant.name: constant for constant in body.graph.initializer}
    found = []
    for node in body.graph.node:
        weights = sum(prod(constants[name].dims) for name in node.input[:2] if _is_float(constants.get(name)))
        if node.op_type in LAYERS and not node.domain and weights >= LEAST_WEIGHTS:
            found.append(Layer(node.name, node.op_type, weights))
    return tuple(found)


def weight_bytes(graph: onnx.ModelProto, names: Iterable[str] | None = None) -> int:
    """Bytes of the float constants that some nodes, or all, take.

    Args:
        names: Names of nodes.
    """
    chosen = None if names is None else set(names)
    used = set(_used(node for node in graph.graph.node if chosen is None or node.name in chosen))
    return sum(
        prod(constant.dims) * _FLOATS[constant.data_type]
        for constant in graph.graph.initializer
        if constant.name in used and constant.data_type in _FLOATS
    )


def _is_estimator(node: onnx.NodeProto) -> bool:
    """The last of a classifier's tensors has lost its prefix; it is the only one of its name."""
    return any(name.startswith(PREFIX) for name in node.output) or (
        PROBABILITIES in node.output and any(name.startswith(PREFIX) for name in node.input)
    )


def _around(whole: onnx.ModelProto, body: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """What comes before the estimator and what comes after it, each in the order of the graph."""
    inside = {node.name for node in body.graph.node}
    follows = {name for node in body.graph.node for name in node.output if name}
    preparing, deciding = [], []
    for node in whole.graph.node:
        if node.name in inside:
            continue
        if follows.isdisjoint(_used([node])):
            preparing.append(node)
        else:
            deciding.append(node)
            follows |= set(node.output)
    return preparing, deciding


def _check_fits(own: onnx.ModelProto, other: onnx.ModelProto, whole: onnx.ModelProto) -> None:
    for place in ("input", "output"):
        names = [{value.name for value in getattr(body.graph, place)} for body in (own, other)]
        if names[0] != names[1]:
            raise ValueError(f"the {place}s are {sorted(names[1])}, not {sorted(names[0])}")
    versions = {opset.domain: opset.version for opset in whole.opset_import}
    for opset in other.opset_import:
        if versions.get(opset.domain, opset.version) != opset.version:
            raise ValueError(f"it needs opset {opset.version} of '{opset.domain}', the graph has {versions[opset.domain]}")


def _used(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Every tensor that nodes read, also inside the branches of an If or the body of a loop."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _used(attribute.g.node)
                yield from (value.name for value in attribute.g.output)


def _keep_constants(graph: onnx.GraphProto, needed: set[str]) -> None:
    kept = [constant for constant in graph.initializer if constant.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _named(whole: onnx.ModelProto) -> onnx.ModelProto:
    named = onnx.ModelProto()
    named.CopyFrom(whole)
    seen: set[str] = set()
    versions = {"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in named.opset_import}
    del named.opset_import[:]  # a graph merged of two may name a domain twice, which quantizers refuse
    named.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    for position, node in enumerate(named.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_at_{position}"
        seen.add(node.name)
    return named


def _types(whole: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(whole).graph
    return {value.name: value for value in [*graph.value_info, *graph.input, *graph.output]}


def _type(types: dict[str, onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    known = types.get(name)
    return known if known is not None else helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _is_float(constant: onnx.TensorProto | None) -> bool:
    return constant is not None and constant.data_type in _FLOATS

"""As much of ONNX's format as it takes to find the trees in a graph and to cut it around them.

The model server's image has protobuf, but not the onnx package with its compiler and checkers. What these messages do not name
is kept as it is when a graph is written again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_TYPES = {"str": 9, "bytes": 12, "int64": 3, "int32": 5, "float": 2}
# Message: field: (number, type, whether repeated); numbers are those of onnx.proto.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Model": {"graph": (7, "Graph", False)},
    "Graph": {"node": (1, "Node", True), "initializer": (5, "Tensor", True), "input": (11, "Value", True),
              "output": (12, "Value", True), "value_info": (13, "Value", True)},
    "Node": {"input": (1, "str", True), "output": (2, "str", True), "op_type": (4, "str", False),
             "attribute": (5, "Attribute", True), "domain": (7, "str", False)},
    "Attribute": {"name": (1, "str", False), "i": (3, "int64", False), "s": (4, "bytes", False), "floats": (7, "float", True),
                  "ints": (8, "int64", True), "strings": (9, "bytes", True), "type": (20, "int32", False)},
    "Tensor": {"name": (8, "str", False)},
    "Value": {"name": (1, "str", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False), "shape": (2, "Shape", False)},
    "Shape": {"dim": (1, "Size", True)},
    "Size": {"dim_value": (1, "int64", False), "dim_param": (2, "str", False)},
}  # fmt: skip
_FLOAT = 1
_GRAPHS = {5, 10}  # attribute types that hold a graph of their own
_PACKAGE = "stagewright.onnx"
TREES = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stagewright/onnx.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            own = kind in _MESSAGES
            message.field.add(
                name=field, number=number, label=3 if repeated else 1, type=11 if own else _TYPES[kind],  # type: ignore[arg-type]
                type_name=f".{_PACKAGE}.{kind}" if own else None,
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


_CLASS = _classes()


@dataclass(frozen=True, slots=True)
class Cut:
    """A graph in three parts.

    Attributes:
        node: The tree ensemble's node.
        given: What the trees read, [N, F].
        scores: What they answer, [N, C].
        before: Graph that makes `given`; empty where it is an input of the whole.
        trees: Graph of the trees alone.
        after: Graph from `scores` to the whole's outputs; empty where nothing follows.
    """

    node: Any
    given: str
    scores: str
    before: bytes
    trees: bytes
    after: bytes


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes by name, each in the one form that it has."""
    forms = {2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
    return {one.name: getattr(one, forms[one.type]) if one.type in forms else None for one in node.attribute}


def cut(graph: bytes) -> Cut | None:
    """Cut a graph around its tree ensemble; None if it has none, several, or one that cannot be taken out."""
    try:
        model = _CLASS["Model"].FromString(graph)
    except DecodeError:  # the session, which is opened next, says what is wrong with it
        return None
    nodes = list(model.graph.node)
    found = [at for at, node in enumerate(nodes) if node.op_type in TREES and node.domain == "ai.onnx.ml"]
    if len(found) != 1 or any(one.type in _GRAPHS for node in nodes for one in node.attribute):
        return None
    trees = nodes[found[0]]
    given, scores = trees.input[0], trees.output[-1]
    needed = _ancestors(nodes, given)
    before = [node for at, node in enumerate(nodes) if at in needed]
    after = [node for at, node in enumerate(nodes) if at not in needed and at != found[0]]
    constants = {one.name for one in model.graph.initializer}
    known = constants | {scores} | {name for node in after for name in node.output}
    outputs = {one.name for one in model.graph.output}
    # The index of the best class, which a classifier answers besides, must be nobody's.
    if any(name and name not in known for node in after for name in node.input) or not outputs <= known:
        return None
    if not before and given not in {one.name for one in model.graph.input}:
        return None

    def part(own: Iterable[Any], inputs: Iterable[Any], results: Iterable[Any]) -> bytes:
        return _part(model, list(own), list(inputs), list(results)).SerializeToString()

    matrices = {name: _matrix(name) for name in (given, scores)}
    return Cut(
        trees, given, scores,
        part(before, model.graph.input, [matrices[given]]) if before else b"",
        part([trees], [matrices[given]], [matrices[scores]]),
        part(after, [matrices[scores]], model.graph.output) if after else b"",
    )  # fmt: skip


def _ancestors(nodes: list[Any], name: str) -> set[int]:
    """The nodes that a value is made by, directly or not."""
    makers = {output: at for at, node in enumerate(nodes) for output in node.output}
    found: set[int] = set()
    waiting = [name]
    while waiting:
        at = makers.get(waiting.pop())
        if at is not None and at not in found:
            found.add(at)
            waiting += nodes[at].input
    return found


def _part(model: Any, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Message:
    """The model with these nodes only, and the constants that they read."""
    read = {name for node in nodes for name in node.input}
    made = _CLASS["Model"]()
    made.CopyFrom(model)
    graph = made.graph
    kept = [one for one in model.graph.initializer if one.name in read]
    for field, values in (("node", nodes), ("initializer", kept), ("input", inputs), ("output", outputs), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    return made


def _matrix(name: str) -> Any:
    """The declaration of a float matrix [N, any]."""
    tensor = _CLASS["TensorType"](elem_type=_FLOAT, shape=_CLASS["Shape"](dim=[_CLASS["Size"](), _CLASS["Size"]()]))
    return _CLASS["Value"](name=name, type=_CLASS["Type"](tensor_type=tensor))

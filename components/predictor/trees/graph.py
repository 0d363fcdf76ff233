"""Splitting of a graph around its tree ensemble."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from stagewright.components.predictor.trees.messages import CLASS, attributes, matrix

_GRAPHS = {5, 10}  # attribute types of subgraphs
_TREES = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text column that the graph only maps to numbers.

    Attributes:
        given: Input of the whole graph, text [N, 1].
        made: Input of `Cut.before` for the numbers, float32 [N, 1].
        known: Numbers by text.
        other: Number of all other texts.
    """

    given: str
    made: str
    known: dict[str, float]
    other: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A graph in three parts.

    Attributes:
        node: Node of the tree ensemble.
        given: Name of the trees' input [N, F].
        scores: Name of the trees' output [N, C].
        encoders: Text columns that `before` takes as numbers.
        before: Graph that computes `given`; empty if `given` is an input of the whole graph.
        trees: Graph of the trees only.
        after: Graph from `scores` to the outputs of the whole graph; empty if there is none.
    """

    node: Any
    given: str
    scores: str
    encoders: tuple[Encoder, ...]
    before: bytes
    trees: bytes
    after: bytes


def cut(graph: bytes) -> Cut | None:
    """Split a graph around its tree ensemble; None if it has none, several, or one that cannot be separated."""
    try:
        model = CLASS["Model"].FromString(graph)
    except DecodeError:  # opening the session reports the error
        return None
    nodes = list(model.graph.node)
    trees = _trees(nodes)
    if trees is None:
        return None
    given, scores = trees.input[0], trees.output[-1]
    needed = _ancestors(nodes, given)
    before = [node for at, node in enumerate(nodes) if at in needed]
    after = [node for at, node in enumerate(nodes) if at not in needed and node is not trees]
    if not _separate(model.graph, given, scores, before, after):
        return None
    encoders = tuple(_encoders(nodes, {one.name for one in model.graph.input}))
    texts, made = {one.given for one in encoders}, {one.made for one in encoders}
    inputs = [one for one in model.graph.input if one.name not in texts] + [matrix(one.made) for one in encoders]
    encoded = [node for node in before if node.output[0] not in made]
    return Cut(
        trees, given, scores, encoders,
        _part(model, encoded, inputs, [matrix(given)]) if before else b"",
        _part(model, [trees], [matrix(given)], [matrix(scores)]),
        _part(model, after, [matrix(scores)], model.graph.output) if after else b"",
    )  # fmt: skip


def _trees(nodes: Sequence[Any]) -> Any:
    """The tree ensemble of a graph; None if there is not exactly one, or the graph has subgraphs."""
    found = [node for node in nodes if node.op_type in _TREES and node.domain == "ai.onnx.ml"]
    nested = any(one.type in _GRAPHS for node in nodes for one in node.attribute)
    return found[0] if len(found) == 1 and not nested else None


def _separate(graph: Any, given: str, scores: str, before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Whether the nodes before the trees, or an input, feed them, and the nodes after them use only their scores.

    No node may use the classifier's other output, the label.
    """
    constants = {one.name for one in graph.initializer}
    known = constants | {scores} | {name for node in after for name in node.output}
    wanted = {name for node in after for name in node.input if name} | {one.name for one in graph.output}
    return wanted <= known and (bool(before) or given in {one.name for one in graph.input})


def _encoders(nodes: Sequence[Any], inputs: set[str]) -> Iterator[Encoder]:
    """Yield nodes that map a text input to numbers, if no other node uses the input."""
    readers = Counter(name for node in nodes for name in node.input)
    for node in nodes:
        if node.op_type != "LabelEncoder" or node.input[0] not in inputs or readers[node.input[0]] > 1:
            continue
        given = attributes(node)
        if set(given) <= {"keys_strings", "values_floats", "default_float"} and {"keys_strings", "values_floats"} <= set(given):
            texts = [key.decode() for key in given["keys_strings"]]
            if len(set(texts)) == len(texts):
                numbers = dict(zip(texts, given["values_floats"], strict=True))
                yield Encoder(node.input[0], node.output[0], numbers, given.get("default_float", 0.0))


def _ancestors(nodes: Sequence[Any], name: str) -> set[int]:
    """Indexes of all nodes that a value depends on."""
    makers = {output: at for at, node in enumerate(nodes) for output in node.output}
    found: set[int] = set()
    waiting = [name]
    while waiting:
        at = makers.get(waiting.pop())
        if at is not None and at not in found:
            found.add(at)
            waiting += nodes[at].input
    return found


def _part(model: Any, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
    """The model with these nodes only, and their constants."""
    read = {name for node in nodes for name in node.input}
    made = CLASS["Model"]()
    made.CopyFrom(model)
    graph = made.graph
    kept = [one for one in model.graph.initializer if one.name in read]
    for field, values in (("node", nodes), ("initializer", kept), ("input", inputs), ("output", outputs), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    found: bytes = made.SerializeToString()
    return found

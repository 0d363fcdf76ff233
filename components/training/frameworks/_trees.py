"""Boosted trees as one ONNX node, for all frameworks with boosted trees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from stagewright.components.training.frameworks._base import IR_VERSION, OPSETS


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as arrays over its nodes; node 0 is the root.

    Attributes:
        feature: Column that an inner node compares.
        threshold: Value that it is compared with.
        left: Child if the comparison is true, -1 in a leaf.
        right: Child otherwise.
        missing_left: Whether NaN goes left.
        value: Value that a leaf adds.
        output: Index of the class whose margin the tree adds to, 0 for one margin.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    output: int = 0


def floor32(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each float64 value; the shape is kept.

    For a float32 x, `x <= value` and `x <= floor32(value)` are equal, so predictions do not change.
    """
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and then the largest float32
        nearest = values.astype(np.float32)
    above = nearest.astype(np.float64) > values
    return np.where(above, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def ensemble(trees: Sequence[Tree], *, mode: str, base: Sequence[float], classes: int, features: int) -> ModelProto:
    """A graph `features` [N, F] -> `probabilities` [N, C] (logistic of one margin, softmax of several) or `prediction` [N, 1].

    Args:
        mode: How a node compares: BRANCH_LT or BRANCH_LEQ.
        base: Margin before any tree; one value, or one for each class.
        classes: Number of classes; 0 for regression.
    """
    nodes = _nodes(trees if mode == "BRANCH_LEQ" else _with_leq(trees), "BRANCH_LEQ")
    tree_ids, node_ids, outputs, values = _leaves(trees)
    if classes:
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes])
        node = helper.make_node(
            "TreeEnsembleClassifier", ["features"], ["label", "probabilities"], domain="ai.onnx.ml",
            class_treeids=tree_ids, class_nodeids=node_ids, class_ids=outputs, class_weights=values,
            classlabels_int64s=list(range(classes)), base_values=_floats(base),
            post_transform="LOGISTIC" if classes == 2 else "SOFTMAX", **nodes,
        )  # fmt: skip
    else:
        output = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])
        node = helper.make_node(
            "TreeEnsembleRegressor", ["features"], ["prediction"], domain="ai.onnx.ml",
            target_treeids=tree_ids, target_nodeids=node_ids, target_ids=outputs, target_weights=values,
            n_targets=1, base_values=_floats(base), post_transform="NONE", **nodes,
        )  # fmt: skip
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, features])
    graph = helper.make_graph([node], "trees", [given], [output])
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _with_leq(trees: Sequence[Tree]) -> list[Tree]:
    """Trees that compare `x <= t` instead of `x < t`: for float32 numbers both are equal if t is the next number below.

    ONNX Runtime evaluates this comparison one and a half times as fast.
    """
    below = [np.nextafter(tree.threshold.astype(np.float32), np.float32(-np.inf)) for tree in trees]
    return [replace(tree, threshold=threshold) for tree, threshold in zip(trees, below, strict=True)]


def _nodes(trees: Sequence[Tree], mode: str) -> dict[str, Any]:
    leaf = np.concatenate([tree.left < 0 for tree in trees])

    def over_all(name: str, in_leaves: float) -> np.ndarray:
        return np.where(leaf, in_leaves, np.concatenate([getattr(tree, name) for tree in trees]))

    sizes = [len(tree.left) for tree in trees]
    return {
        "nodes_treeids": np.repeat(np.arange(len(trees)), sizes).tolist(),
        "nodes_nodeids": np.concatenate([np.arange(size) for size in sizes]).tolist(),
        "nodes_featureids": over_all("feature", 0).astype(np.int64).tolist(),
        "nodes_values": _floats(over_all("threshold", 0.0)),
        "nodes_modes": np.where(leaf, "LEAF", mode).tolist(),
        "nodes_truenodeids": over_all("left", 0).astype(np.int64).tolist(),
        "nodes_falsenodeids": over_all("right", 0).astype(np.int64).tolist(),
        "nodes_missing_value_tracks_true": over_all("missing_left", 0).astype(np.int64).tolist(),
    }


def _leaves(trees: Sequence[Tree]) -> tuple[list[int], list[int], list[int], list[float]]:
    tree_ids: list[int] = []
    node_ids: list[int] = []
    outputs: list[int] = []
    values: list[float] = []
    for position, tree in enumerate(trees):
        leaves = np.flatnonzero(tree.left < 0)
        tree_ids += [position] * len(leaves)
        node_ids += leaves.tolist()
        outputs += [tree.output] * len(leaves)
        values += _floats(tree.value[leaves])
    return tree_ids, node_ids, outputs, values


def _floats(values: Sequence[float] | np.ndarray) -> list[float]:
    """Values on the float32 grid, as Python floats for ONNX's attributes."""
    return np.asarray(values, dtype=np.float32).astype(np.float64).tolist()

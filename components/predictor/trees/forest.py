"""Conversion of a graph's tree ensemble to the kernel's arrays, and its evaluation.

Attributes have ONNX's meaning (ai.onnx.ml, TreeEnsembleClassifier and TreeEnsembleRegressor). Sums are float32 in the order of
the trees, and post-processing uses the same operations as ONNX Runtime with one thread. So the outputs are the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stagewright.components.predictor.trees import kernel
from stagewright.components.predictor.trees.layout import Layout, array, refuse
from stagewright.components.predictor.trees.messages import attributes

FINISHES = ("NONE", "LOGISTIC", "SOFTMAX", "SHARE", "NONE_OF_ONE", "LOGISTIC_OF_ONE")  # in kernel.c's order
MOST_VALUES = 1 << 26  # 256 MiB
_KNOWN = {
    "aggregate_function", "base_values", "nodes_falsenodeids", "nodes_featureids", "nodes_hitrates",
    "nodes_missing_value_tracks_true", "nodes_modes", "nodes_nodeids", "nodes_treeids", "nodes_truenodeids", "nodes_values",
    "post_transform", "class_ids", "class_nodeids", "class_treeids", "class_weights", "classlabels_int64s",
    "classlabels_strings", "n_targets", "target_ids", "target_nodeids", "target_treeids", "target_weights",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees in the kernel's form.

    Attributes:
        nodes: Threshold and word of each node [nodes], tree by tree, level by level from the root.
        values: Leaf values of each node [nodes, width].
        trees: Root, depth and first output of each tree [T, 3].
        outputs: Number of sums for each row.
        base: Initial value of each sum [outputs].
        divisor: Divisor of the sums before the base is added: the number of trees for a mean, otherwise 1.
        finish: Post-processing of sums [N, outputs] to the node's output [N, C].
        columns: Number of columns up to the last one that the trees use.
    """

    nodes: np.ndarray
    values: np.ndarray
    trees: np.ndarray
    outputs: int
    base: np.ndarray
    divisor: np.float32
    finish: str
    columns: int

    @classmethod
    def from_node(cls, node: Any) -> Self:
        """Convert a graph's node to the kernel's form.

        Raises:
            Unsupported: If the kernel does not support the node.
        """
        given = attributes(node)
        refuse(not set(given) <= _KNOWN, "an attribute of a later version")
        classifier = node.op_type == "TreeEnsembleClassifier"
        prefix = "class" if classifier else "target"
        labels = len(given.get("classlabels_int64s", ())) or len(given.get("classlabels_strings", ()))
        count = labels if classifier else given.get("n_targets", 1)
        ids, weights = array(given[f"{prefix}_ids"]), array(given[f"{prefix}_weights"], np.float32)
        single = classifier and count == 2 and len(np.unique(ids)) == 1  # the scores of both classes follow from one sum
        outputs, ids = (1, np.zeros_like(ids)) if single else (count, ids)
        refuse(bool(((ids < 0) | (ids >= outputs)).any()), "an output that is not there")
        finish = _finish(given, classifier=classifier, single=single, positive=bool((weights >= 0).all()))
        base = array(given.get("base_values", ()), np.float32)
        refuse(len(base) not in {0, outputs}, "base values for other outputs")
        aggregate = given.get("aggregate_function", b"SUM")
        refuse(aggregate not in {b"SUM", b"AVERAGE"}, "an aggregate that is no sum")
        layout = Layout.of(given)
        place, tree = layout.find(given[f"{prefix}_treeids"], given[f"{prefix}_nodeids"])
        first, width = _widths(tree, ids, len(layout.trees), outputs)
        refuse(len(layout.words) * width > MOST_VALUES, "more values than fit into memory well")
        values = np.zeros((len(layout.words), width), dtype=np.float32)
        np.add.at(values, (place, ids - first[tree]), weights)
        trees = np.column_stack([layout.trees, first]).astype(np.int32)
        return cls(
            layout.words, values, trees, outputs, base if len(base) else np.zeros(outputs, dtype=np.float32),
            np.float32(len(trees) if aggregate == b"AVERAGE" else 1), finish, layout.columns,
        )  # fmt: skip

    def predict_scores(self, features: np.ndarray) -> np.ndarray:
        """Scores or predictions [N, C] for features [N, F], float32.

        Raises:
            ValueError: If the features have too few columns."""
        rows, columns = features.shape
        if columns < self.columns:
            raise ValueError(f"features have {columns} columns; the trees look at {self.columns}")
        sums = np.zeros((rows, self.outputs), dtype=np.float32)
        given = np.ascontiguousarray(features, dtype=np.float32)
        kernel.add(self.nodes, self.values, self.trees, self.values.shape[1], given, rows, columns, sums, self.outputs)
        kind = FINISHES.index(self.finish)
        answers = np.empty((rows, self.outputs if kind < FINISHES.index("SHARE") else 2), dtype=np.float32)
        kernel.finish(sums, rows, self.base, self.outputs, float(self.divisor), kind, answers)
        return answers


def _widths(tree: np.ndarray, ids: np.ndarray, trees: int, outputs: int) -> tuple[np.ndarray, int]:
    """First output of each tree [T], and the number of outputs of a leaf: 1 if each tree has one output, otherwise all."""
    own = np.unique(np.column_stack([tree, ids]), axis=0)
    first = np.zeros(trees, dtype=np.int64)
    if len(own) > len(np.unique(own[:, 0])):
        return first, outputs
    first[own[:, 0]] = own[:, 1]
    return first, 1


def _finish(given: Mapping[str, Any], *, classifier: bool, single: bool, positive: bool) -> str:
    transform = given.get("post_transform", b"NONE").decode()
    if not classifier:
        refuse(transform != "NONE", f"{transform} of a regression")
        return "NONE"
    refuse(transform not in {"NONE", "LOGISTIC", "SOFTMAX"}, transform)
    if single:
        refuse(transform == "SOFTMAX", "SOFTMAX of one sum")
        return "SHARE" if positive and transform == "NONE" else f"{transform}_OF_ONE"
    return transform

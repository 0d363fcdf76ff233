"""Memory layout of an ensemble's nodes for the kernel."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

COLUMNS, TREE_NODES = 1 << 11, 1 << 20  # limits of the bits in a node's word
_NODE = np.dtype([("threshold", np.float32), ("word", np.uint32)])
_MODES = {b"LEAF": 0, b"BRANCH_LEQ": 1, b"BRANCH_LT": 2, b"BRANCH_GT": 3, b"BRANCH_GTE": 4}
_INFINITY = np.float32(np.inf)


class Unsupported(Exception):
    """The kernel does not support these trees; ONNX Runtime computes them."""


def refuse(wrong: bool, why: str) -> None:
    """Raise if the kernel does not support the trees.

    Raises:
        Unsupported: If `wrong`."""
    if wrong:
        raise Unsupported(why)


def array(values: Iterable[Any], dtype: type = np.int64) -> np.ndarray:
    """Numbers of an attribute as an array [n]."""
    return np.fromiter(values, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Layout:
    """Nodes tree by tree, each tree level by level from its root, with the two children of a node adjacent.

    Attributes:
        words: Threshold and word of each node [nodes], as described in kernel.c.
        trees: Root and depth of each tree [T, 2].
        columns: Number of columns up to the last one that a node uses.
    """

    words: np.ndarray
    trees: np.ndarray
    columns: int
    _keys: "_Keys"
    _places: np.ndarray

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Lay out the nodes of a tree ensemble's attributes.

        Raises:
            Unsupported: If they are not trees, are too large, or use another comparison.
        """
        refuse(not set(given["nodes_modes"]) <= set(_MODES), "a comparison other than <, <=, >, >=")
        mode = np.fromiter((_MODES[one] for one in given["nodes_modes"]), dtype=np.int8)
        keys = _Keys.of(array(given["nodes_treeids"]), array(given["nodes_nodeids"]))
        inner = mode > 0
        true, false = (keys.children(array(given[f"nodes_{side}nodeids"]), inner) for side in ("true", "false"))
        turned = mode >= 3  # the kernel goes right if the value is above the threshold
        left, right = np.where(turned, false, true), np.where(turned, true, false)
        tracks = array(given.get("nodes_missing_value_tracks_true", ())).astype(bool)
        tracks = tracks if len(tracks) else np.zeros(len(mode), dtype=bool)
        threshold = array(given["nodes_values"], np.float32)
        below = (mode == 2) | (mode == 4)  # x < t is x <= the next smaller number
        threshold[below] = np.nextafter(threshold[below], -_INFINITY)
        feature = array(given["nodes_featureids"])
        refuse(bool((feature[inner] >= COLUMNS).any()), "more columns than a word can count")
        order, depth = _by_levels(keys.tree, left, right, inner)
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        root = np.searchsorted(keys.tree[order], np.arange(len(depth)))
        child = np.where(inner, places[left], places) - root[keys.tree]
        refuse(int(child.max(initial=0)) >= TREE_NODES, "a tree of more nodes than a word can count")
        goes_right = np.where(turned, tracks, ~tracks) & inner
        words = np.zeros(len(order), dtype=_NODE)
        words["threshold"] = np.where(inner, threshold, _INFINITY)[order]
        words["word"] = (np.where(inner, feature, 0) | goes_right.astype(np.int64) << 11 | child << 12)[order]
        columns = int(feature[inner].max(initial=0)) + 1
        return cls(words, np.column_stack([root, depth]), columns, keys, places)

    def find(self, trees: Iterable[int], nodes: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Positions [n] of nodes, and of their trees, by their ids in the graph.

        Raises:
            Unsupported: If a node does not exist."""
        found = self._keys.find(array(trees), array(nodes))
        refuse(bool((found < 0).any()), "a leaf that is not there")
        return self._places[found], self._keys.tree[found]


@dataclass(frozen=True, slots=True)
class _Keys:
    """Index of nodes by tree and node id."""

    tree: np.ndarray  # each node's tree, counted from 0
    _ids: np.ndarray
    _stride: int
    _sorted: np.ndarray
    _sorter: np.ndarray

    @classmethod
    def of(cls, trees: np.ndarray, nodes: np.ndarray) -> Self:
        ids, tree = np.unique(trees, return_inverse=True)
        refuse(len(nodes) == 0 or int(nodes.min()) < 0, "no nodes, or numbers below 0")
        stride = int(nodes.max()) + 1
        keys = tree * stride + nodes
        sorter = np.argsort(keys, kind="stable")
        refuse(bool((np.diff(keys[sorter]) == 0).any()), "two nodes of one number")
        return cls(tree, ids, stride, keys[sorter], sorter)

    def find(self, trees: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Positions of nodes [n]; -1 for nodes that do not exist."""
        tree = np.minimum(np.searchsorted(self._ids, trees), len(self._ids) - 1)
        return np.where(self._ids[tree] == trees, self._positions(tree, nodes), -1)

    def children(self, numbers: np.ndarray, inner: np.ndarray) -> np.ndarray:
        """Positions of the children of inner nodes [nodes]; undefined for leaves."""
        found = self._positions(self.tree, numbers)
        refuse(bool((found[inner] < 0).any()), "a child that is not there")
        return np.where(inner, found, 0)

    def _positions(self, tree: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        wanted = tree * self._stride + nodes
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        there = (self._sorted[at] == wanted) & (nodes >= 0) & (nodes < self._stride)
        return np.where(there, self._sorter[at], -1)


def _by_levels(tree: np.ndarray, left: np.ndarray, right: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of nodes by tree and level [nodes], and depth of each tree [T]."""
    child = np.zeros(len(tree), dtype=bool)
    child[left[inner]] = child[right[inner]] = True
    level = np.flatnonzero(~child)
    level = level[np.argsort(tree[level], kind="stable")]
    trees = int(tree.max()) + 1
    refuse(not np.array_equal(tree[level], np.arange(trees)), "a tree without one root")
    levels, seen, depth = [level], len(level), np.zeros(trees, dtype=np.int64)
    while (parents := level[inner[level]]).size:
        level = np.column_stack([left[parents], right[parents]]).ravel()
        depth[tree[level]] = len(levels)
        levels.append(level)
        seen += len(level)
        refuse(seen > len(tree), "a node with two parents")
    refuse(seen != len(tree), "nodes that no root leads to")
    order = np.concatenate(levels)
    return order[np.argsort(tree[order], kind="stable")], depth

"""scikit-learn's histogram gradient boosting as an ONNX graph."""

from typing import Any

import numpy as np
from onnx import ModelProto

from stagewright.components.training.frameworks._trees import Tree, ensemble, floor32


def boosted_trees(model: Any) -> ModelProto:
    """A fitted HistGradientBoosting model as one node.

    skl2onnx converts these models too, but rounds each float64 threshold to the nearest float32. If that is above the
    threshold, a feature between both takes the other branch: on random splits of wine, probabilities differed by up to 0.003.
    """
    trees = [_tree(grown.nodes, output) for iteration in model._predictors for output, grown in enumerate(iteration)]
    classes = len(getattr(model, "classes_", ()))
    base = np.ravel(model._baseline_prediction).tolist()
    return ensemble(trees, mode="BRANCH_LEQ", base=base, classes=classes, features=model.n_features_in_)


def _tree(nodes: np.ndarray, output: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=nodes["feature_idx"],
        threshold=floor32(nodes["num_threshold"]),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
        output=output,
    )

"""scikit-learn models as ONNX graphs `features` -> `probabilities` or `prediction`."""

from typing import Any

import numpy as np
from onnx import ModelProto

from stagewright.components.training.frameworks._base import OPSETS
from stagewright.components.training.frameworks._trees import Tree, ensemble, floor32

_OUTPUTS = {"output_label": "label", "output_probability": "probabilities", "variable": "prediction"}


def converted(model: Any) -> ModelProto:
    """A linear model or a forest, by skl2onnx."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    given = [("features", FloatTensorType([None, model.n_features_in_]))]
    graph = to_onnx(model, initial_types=given, options=options, target_opset=OPSETS)
    for node in graph.graph.node:
        for position, name in enumerate(node.output):
            node.output[position] = _OUTPUTS.get(name, name)
        for position, name in enumerate(node.input):
            node.input[position] = _OUTPUTS.get(name, name)
    for output in graph.graph.output:
        output.name = _OUTPUTS.get(output.name, output.name)
    return graph


def boosted_trees(model: Any) -> ModelProto:
    """A histogram gradient boosting model as one node.

    skl2onnx converts these too, but keeps thresholds as float64 rounded to the nearest float32, which may be above them.
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

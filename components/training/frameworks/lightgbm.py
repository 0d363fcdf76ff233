"""Gradient-boosted trees with LightGBM: early stopping on the validation split, saved in its text format."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from onnx import ModelProto

from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.progress import Advance, progress
from stagewright.components.training.frameworks._base import (
    Fit,
    Plan,
    TrainingData,
    damaged,
    loss_name,
    shares,
)
from stagewright.components.training.frameworks._trees import Tree, ensemble, floor32
from stagewright.components.training.parameters import Parameter, resolve

FILE, DIGEST_FILE = "model.txt", "model.txt.sha256"
PARAMETERS = {
    "n_estimators": Parameter(1000, int, 1, 100_000),
    "early_stopping_rounds": Parameter(30, int, 1, optional=True),
    "learning_rate": Parameter(0.05, float, 0, above=True),
    "num_leaves": Parameter(31, int, 2, 131_072),
    "max_depth": Parameter(-1, int, -1),
    "min_child_samples": Parameter(20, int, 0),
    "min_child_weight": Parameter(1e-3, float, 0),
    "min_split_gain": Parameter(0.0, float, 0),
    "subsample": Parameter(0.9, float, 0, 1, above=True),
    "subsample_freq": Parameter(1, int, 0),
    "colsample_bytree": Parameter(0.9, float, 0, 1, above=True),
    "reg_alpha": Parameter(0.0, float, 0),
    "reg_lambda": Parameter(0.0, float, 0),
    "max_bin": Parameter(255, int, 2),
    "extra_trees": Parameter(False, bool),
}
_ZERO = np.float32(1e-35)  # LightGBM treats smaller absolute values as zero
_NOT_THE_BOOSTERS = {"n_estimators", "early_stopping_rounds"}
_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
_TREE_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)


def plan(params: Mapping[str, Any]) -> Plan:
    """The method with all parameters resolved."""
    return Plan("gradient_boosted_trees", resolve("lightgbm", params, PARAMETERS))


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Boost trees until the validation loss has not improved for `early_stopping_rounds` iterations."""
    params = plan.params
    rounds, patience = params["n_estimators"], params["early_stopping_rounds"]
    settings = {name: value for name, value in params.items() if name not in _NOT_THE_BOOSTERS} | _objective(data.classes)
    settings |= {
        "seed": seed, "num_threads": available_cpus(), "deterministic": True, "force_row_wise": True, "verbosity": -1,
        "feature_pre_filter": False,
    }  # fmt: skip
    train_set = lgb.Dataset(data.train.X, data.train.y, weight=data.train.weights)
    validation_set = train_set.create_valid(data.validation.X, data.validation.y, weight=data.validation.weights)
    recorded: dict[str, dict[str, list[float]]] = {}
    with progress("training lightgbm", total=rounds, unit="trees") as advance:
        callbacks = [lgb.record_evaluation(recorded), _advancing(advance)]
        if patience is not None:
            callbacks.append(lgb.early_stopping(patience, verbose=False))
        booster = lgb.train(
            settings,
            train_set,
            rounds,
            valid_sets=[train_set, validation_set],
            valid_names=["train", "validation"],
            callbacks=callbacks,
        )
    kept = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    name = loss_name(data.classes)
    history = {f"{split}_{name}": [float(v) for v in next(iter(metrics.values()))] for split, metrics in recorded.items()}
    rounded = _on_float32_grid(booster.model_to_string(num_iteration=kept))
    return Fit(LightGBMEstimator(lgb.Booster(model_str=rounded), data.classes), history, kept)


def load(folder: Path) -> "LightGBMEstimator":
    """The estimator in a folder.

    Raises:
        InputError: If the file is missing or damaged.
    """
    path = folder / FILE
    try:
        content, digest = path.read_bytes(), (folder / DIGEST_FILE).read_text().strip()
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    # LightGBM's parser ends the process on some damaged files, so the file is checked first.
    if hashlib.sha256(content).hexdigest() != digest:
        raise damaged(path, ValueError("its content is not what was written"))
    booster = lgb.Booster(model_str=content.decode())
    objective = booster.dump_model(num_iteration=1)["objective"].split()[0]
    classes = {"regression": 0, "binary": 2}.get(objective, booster.num_model_per_iteration())
    return LightGBMEstimator(booster, classes)


class LightGBMEstimator:
    """A trained booster whose thresholds are float32."""

    def __init__(self, booster: lgb.Booster, classes: int) -> None:
        self.booster, self.classes = booster, classes

    def predict(self, X: np.ndarray) -> np.ndarray:
        answered = np.asarray(self.booster.predict(X, num_threads=available_cpus()), dtype=np.float32)
        if self.classes == 2:
            return np.column_stack([1 - answered, answered])
        return answered

    def save(self, folder: Path) -> None:
        content = self.booster.model_to_string(num_iteration=-1).encode()
        (folder / FILE).write_bytes(content)
        (folder / DIGEST_FILE).write_text(hashlib.sha256(content).hexdigest() + "\n")

    def importances(self) -> np.ndarray | None:
        """Shares of the total gain of each feature's splits."""
        return shares(self.booster.feature_importance(importance_type="gain"))

    def to_onnx(self) -> ModelProto:
        outputs = self.booster.num_model_per_iteration()
        document = self.booster.dump_model(num_iteration=-1)
        trees = [_tree(tree["tree_structure"], position % outputs) for position, tree in enumerate(document["tree_info"])]
        return ensemble(
            trees, mode="BRANCH_LEQ", base=[0.0] * outputs, classes=self.classes, features=self.booster.num_feature()
        )


def _advancing(advance: Advance) -> Any:
    return lambda _: advance()


def _objective(classes: int) -> dict[str, Any]:
    if classes == 0:
        return {"objective": "regression", "metric": "rmse"}
    if classes == 2:
        return {"objective": "binary", "metric": "binary_logloss"}
    return {"objective": "multiclass", "metric": "multi_logloss", "num_class": classes}


def _on_float32_grid(model: str) -> str:
    """The text of a model in which each threshold is the largest float32 that is not above the original.

    LightGBM has thresholds in float64 and ONNX in float32; a feature between both would take different branches. For float32
    features, the rounded model predicts exactly as the original.
    """

    def rounded(line: re.Match[str]) -> str:
        thresholds = floor32(np.array(line.group(1).split(), dtype=np.float64)).astype(np.float64)
        return "threshold=" + " ".join(repr(float(value)) for value in thresholds)

    # The sizes are byte offsets of each tree, which have moved; without them the trees are read one after the other.
    return _THRESHOLDS.sub(rounded, _TREE_SIZES.sub("", model))


def _tree(root: dict[str, Any], output: int) -> Tree:
    """A tree from the booster's nested JSON, walked without recursion: a leaf-wise tree may be deep."""
    nodes: list[dict[str, Any]] = [root]
    left: list[int] = []
    right: list[int] = []
    for node in nodes:  # grows while it is walked
        inner = "left_child" in node
        left.append(len(nodes) if inner else -1)
        right.append(len(nodes) + 1 if inner else -1)
        if inner:
            nodes += [node["left_child"], node["right_child"]]
    return Tree(
        feature=np.array([node.get("split_feature", 0) for node in nodes]),
        threshold=_around_zero(np.array([node.get("threshold", 0.0) for node in nodes], dtype=np.float64)),
        left=np.array(left),
        right=np.array(right),
        missing_left=np.array([_missing_goes_left(node) for node in nodes]),
        value=np.array([node.get("leaf_value", 0.0) for node in nodes]),
        output=output,
    )


def _around_zero(thresholds: np.ndarray) -> np.ndarray:
    """Thresholds with which ONNX decides as LightGBM, which treats each x with |x| <= 1e-35 as zero.

    With a threshold from 0 to 1e-35 all of these go left, so it becomes 1e-35. With one from -1e-35 to below 0 none goes left,
    so it becomes the next float32 below -1e-35. Other thresholds do not separate them.
    """
    all_left = (thresholds >= 0) & (thresholds <= _ZERO)
    none_left = (thresholds < 0) & (thresholds >= -_ZERO)
    below = np.nextafter(-_ZERO, np.float32(-np.inf))
    return np.where(all_left, np.float64(_ZERO), np.where(none_left, np.float64(below), thresholds))


def _missing_goes_left(node: dict[str, Any]) -> bool:
    """Whether NaN goes left: a column without NaN in training treats it as zero.

    Raises:
        ValueError: If zeros count as missing, which ONNX cannot express; `train` never sets it.
    """
    if node.get("missing_type") == "Zero":
        raise ValueError("a tree that takes zeros for missing values has no ONNX form")
    if node.get("missing_type") == "None":
        return node["threshold"] >= 0.0
    return bool(node.get("default_left", False))

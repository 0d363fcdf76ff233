"""Gradient-boosted trees with XGBoost: early stopping on the validation split, saved as .ubj."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from onnx import ModelProto

from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.progress import Advance, progress
from stagewright.components.training.frameworks._base import (
    Fit,
    Plan,
    Split,
    TrainingData,
    damaged,
    loss_name,
    shares,
)
from stagewright.components.training.frameworks._trees import Tree, ensemble
from stagewright.components.training.parameters import Parameter, resolve

FILE = "model.ubj"
PARAMETERS = {
    "n_estimators": Parameter(1000, int, 1, 100_000),
    "early_stopping_rounds": Parameter(30, int, 1, optional=True),
    "learning_rate": Parameter(0.05, float, 0, 1, above=True),
    "max_depth": Parameter(5, int, 0, 32),
    "max_leaves": Parameter(0, int, 0),
    "grow_policy": Parameter("depthwise", str, choices=("depthwise", "lossguide")),
    "min_child_weight": Parameter(1.0, float, 0),
    "gamma": Parameter(0.0, float, 0),
    "subsample": Parameter(0.9, float, 0, 1, above=True),
    "colsample_bytree": Parameter(0.9, float, 0, 1, above=True),
    "colsample_bylevel": Parameter(1.0, float, 0, 1, above=True),
    "colsample_bynode": Parameter(1.0, float, 0, 1, above=True),
    "reg_alpha": Parameter(0.0, float, 0),
    "reg_lambda": Parameter(1.0, float, 0),
    "max_delta_step": Parameter(0.0, float, 0),
    "max_bin": Parameter(256, int, 2),
    "device": Parameter("cpu", str, choices=("cpu", "cuda")),
}
_NOT_THE_BOOSTERS = {"n_estimators", "early_stopping_rounds"}


def plan(params: Mapping[str, Any]) -> Plan:
    """The method with all parameters resolved."""
    return Plan("gradient_boosted_trees", resolve("xgboost", params, PARAMETERS))


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Boost trees until the validation loss has not improved for `early_stopping_rounds` iterations."""
    params = plan.params
    rounds, patience = params["n_estimators"], params["early_stopping_rounds"]
    settings = {name: value for name, value in params.items() if name not in _NOT_THE_BOOSTERS}
    settings |= _objective(data.classes) | {"seed": seed, "nthread": available_cpus(), "tree_method": "hist", "verbosity": 0}
    train_matrix = _matrix(data.train)
    validation_matrix = _matrix(data.validation)
    recorded: dict[str, dict[str, list[float]]] = {}
    with progress("training xgboost", total=rounds, unit="trees") as advance:
        callbacks: list[Any] = [_Progress(advance)]
        if patience is not None:
            # save_best keeps the trees up to the best iteration and no others: what is saved is what is exported.
            callbacks.append(xgb.callback.EarlyStopping(rounds=patience, data_name="validation", save_best=True))
        booster = xgb.train(
            settings,
            train_matrix,
            num_boost_round=rounds,
            evals=[(train_matrix, "train"), (validation_matrix, "validation")],
            evals_result=recorded,
            callbacks=callbacks,
            verbose_eval=False,
        )
    booster.set_param({"device": "cpu"})  # where it was trained; it answers wherever it is loaded
    name = loss_name(data.classes)
    history = {f"{split}_{name}": next(iter(metrics.values())) for split, metrics in recorded.items()}
    return Fit(XGBoostEstimator(booster, data.classes), history, booster.num_boosted_rounds())


def load(folder: Path) -> "XGBoostEstimator":
    """The estimator in a folder.

    Raises:
        InputError: If the file is missing or damaged.
    """
    try:
        booster = xgb.Booster(model_file=str(folder / FILE))
        classes = int(booster.attr("stagewright_classes") or 0)
    except (xgb.core.XGBoostError, OSError, ValueError) as error:
        raise damaged(folder / FILE, error) from None
    booster.set_param({"nthread": available_cpus()})
    return XGBoostEstimator(booster, classes)


class XGBoostEstimator:
    """A trained booster."""

    def __init__(self, booster: xgb.Booster, classes: int) -> None:
        self.booster, self.classes = booster, classes

    def predict(self, X: np.ndarray) -> np.ndarray:
        answered = np.asarray(self.booster.inplace_predict(X), dtype=np.float32)
        if self.classes == 2:
            return np.column_stack([1 - answered, answered])
        return answered

    def save(self, folder: Path) -> None:
        self.booster.set_attr(stagewright_classes=str(self.classes))
        self.booster.save_model(folder / FILE)

    def importances(self) -> np.ndarray | None:
        """Shares of the total gain of each feature's splits."""
        gains: dict[str, Any] = self.booster.get_score(importance_type="total_gain")
        names = [f"f{position}" for position in range(self.booster.num_features())]
        return shares(np.array([float(gains.get(name, 0.0)) for name in names]))

    def to_onnx(self) -> ModelProto:
        document = json.loads(self.booster.save_raw("json").decode())["learner"]
        grown = document["gradient_booster"]["model"]
        trees = [_tree(tree, output) for tree, output in zip(grown["trees"], grown["tree_info"], strict=True)]
        base = np.atleast_1d(json.loads(document["learner_model_param"]["base_score"])).astype(np.float64)
        if self.classes == 2:
            base = np.log(base / (1 - base))  # kept as a probability
        return ensemble(trees, mode="BRANCH_LT", base=base.tolist(), classes=self.classes, features=self.booster.num_features())


class _Progress(xgb.callback.TrainingCallback):
    def __init__(self, advance: Advance) -> None:
        super().__init__()
        self.advance = advance

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.advance()
        return False


def _objective(classes: int) -> dict[str, Any]:
    if classes == 0:
        return {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if classes == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": classes}


def _matrix(split: Split) -> xgb.DMatrix:
    return xgb.DMatrix(split.X, split.y, weight=split.weights, nthread=available_cpus())


def _tree(document: dict[str, Any], output: int) -> Tree:
    """A tree from the booster's JSON, which stores a leaf's value in the field of an inner node's threshold."""
    conditions = np.array(document["split_conditions"], dtype=np.float32)
    return Tree(
        feature=np.array(document["split_indices"]),
        threshold=conditions,
        left=np.array(document["left_children"]),
        right=np.array(document["right_children"]),
        missing_left=np.array(document["default_left"], dtype=bool),
        value=conditions,
        output=output,
    )

"""Linear models, random forests and histogram gradient boosting with scikit-learn, saved with skops."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from onnx import ModelProto, helper
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.errors import InputError, one_of
from stagewright.components.runtime.harmless import check_model
from stagewright.components.runtime.progress import progress
from stagewright.components.training.frameworks._base import (
    OPSETS,
    Fit,
    Plan,
    TrainingData,
    damaged,
    loss,
    loss_name,
    shares,
)
from stagewright.components.training.frameworks._sklearn_trees import boosted_trees
from stagewright.components.training.parameters import Parameter, resolve

FILE = "model.skops"
PARAMETERS = {
    "linear": {
        "C": Parameter(None, float, 0, above=True, optional=True),  # of a classifier: 1 unless given
        "alpha": Parameter(None, float, 0, optional=True),  # of a regression: 1 unless given
        "max_iter": Parameter(1000, int, 1),
        "tol": Parameter(1e-6, float, 0, above=True),
    },
    "random_forest": {
        "n_estimators": Parameter(300, int, 1, 10_000),
        "max_depth": Parameter(None, int, 1, optional=True),
        "min_samples_leaf": Parameter(2, int, 1),
        "min_samples_split": Parameter(2, int, 2),
        "max_features": Parameter(None, float, 0, 1, above=True, optional=True),
        "max_leaf_nodes": Parameter(None, int, 2, optional=True),
        "bootstrap": Parameter(True, bool),
    },
    "hist_gradient_boosting": {
        "max_iter": Parameter(500, int, 1, 100_000),
        "n_iter_no_change": Parameter(20, int, 1, optional=True),
        "learning_rate": Parameter(0.05, float, 0, above=True),
        "max_leaf_nodes": Parameter(31, int, 2, optional=True),
        "max_depth": Parameter(None, int, 1, optional=True),
        "min_samples_leaf": Parameter(20, int, 1),
        "l2_regularization": Parameter(0.0, float, 0),
        "max_features": Parameter(1.0, float, 0, 1, above=True),
        "max_bins": Parameter(255, int, 2, 255),
        "tol": Parameter(1e-7, float, 0),
    },
}
DEFAULT = "hist_gradient_boosting"

_ONNX_NAMES = {"output_label": "label", "output_probability": "probabilities", "variable": "prediction"}  # skl2onnx's, ours

# What skops does not trust by itself and these estimators are made of. Whatever else stands in a file is refused.
TRUSTED_TYPES = frozenset({"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree"})


def plan(params: Mapping[str, Any]) -> Plan:
    """The method that `params["model"]` names, with all parameters resolved."""
    given = dict(params)
    model = one_of("params.model", given.pop("model", DEFAULT), PARAMETERS)
    return Plan(model, {"model": model} | resolve(f"sklearn {model}", given, PARAMETERS[model]))


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Fit the method; gradient boosting stops early on the validation split."""
    settings = {name: value for name, value in plan.params.items() if name != "model"}
    with progress(f"training sklearn {plan.algorithm}"):
        if plan.algorithm == "hist_gradient_boosting":
            return _boost(data, settings, seed)
        data.require_no_missing(f"sklearn {plan.algorithm}")
        make = _linear if plan.algorithm == "linear" else _forest
        model = make(data.classes, settings, seed)
        model.fit(data.train.X, data.train.y, sample_weight=data.train.weights)
    if plan.algorithm == "random_forest":
        model.n_jobs = 1  # threads add up a forest's answers in any order, and so to other last digits each time
    estimator = SklearnEstimator(model)
    name = loss_name(data.classes)
    splits = {"train": data.train, "validation": data.validation}
    history = {f"{split}_{name}": [loss(rows, estimator.predict(rows.X))] for split, rows in splits.items()}
    return Fit(estimator, history)


def load(folder: Path) -> "SklearnEstimator":
    """The estimator in a folder. No object is built before all types in the file have been checked.

    Raises:
        InputError: If the file is missing or damaged, or holds a type that these estimators do not use.
    """
    path = folder / FILE
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED_TYPES)
        model = None if foreign else skops.io.load(path, trusted=sorted(TRUSTED_TYPES))
    except Exception as error:  # noqa: BLE001  a damaged archive can raise any error
        raise damaged(path, error) from None
    if foreign:
        raise InputError(f"{path} holds the type {foreign[0]}, which no supported estimator uses; it is not loaded")
    check_model(model, str(path))
    return SklearnEstimator(model)


class SklearnEstimator:
    """A fitted scikit-learn model."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, X: np.ndarray) -> np.ndarray:
        answered = self.model.predict_proba(X) if self.classes else self.model.predict(X)
        return np.asarray(answered, dtype=np.float32)

    @property
    def classes(self) -> int:
        return len(getattr(self.model, "classes_", ()))

    def save(self, folder: Path) -> None:
        skops.io.dump(self.model, folder / FILE)

    def importances(self) -> np.ndarray | None:
        """Impurity importances of a forest, relative absolute coefficients of a linear model, [F]; None otherwise."""
        if hasattr(self.model, "feature_importances_"):
            return shares(self.model.feature_importances_)
        if hasattr(self.model, "coef_"):
            return shares(np.abs(np.atleast_2d(self.model.coef_)).mean(axis=0))
        return None

    def to_onnx(self) -> ModelProto:
        boosted = isinstance(self.model, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
        return boosted_trees(self.model) if boosted else self._converted()

    def _converted(self) -> ModelProto:
        """A linear model or a forest, converted by skl2onnx."""
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        given = [("features", FloatTensorType([None, self.model.n_features_in_]))]
        options = {id(self.model): {"zipmap": False}} if self.classes else None
        graph = to_onnx(self.model, initial_types=given, options=options, target_opset=OPSETS)
        for node in graph.graph.node:
            node.input[:] = [_ONNX_NAMES.get(name, name) for name in node.input]
            node.output[:] = [_ONNX_NAMES.get(name, name) for name in node.output]
        for output in graph.graph.output:
            output.name = _ONNX_NAMES.get(output.name, output.name)
        # skl2onnx declares the oldest versions with its operations; in the requested versions they are the same.
        del graph.opset_import[:]
        graph.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in OPSETS.items())
        return graph


def _linear(classes: int, settings: dict[str, Any], seed: int) -> Any:
    foreign, own = ("alpha", "C") if classes else ("C", "alpha")
    if settings[foreign] is not None:
        what = "a classifier" if classes else "a regression"
        raise InputError(f"sklearn linear takes no parameter '{foreign}' for {what}; its regularization is '{own}'")
    common = {"max_iter": settings["max_iter"], "tol": settings["tol"], "random_state": seed}
    strength = 1.0 if settings[own] is None else settings[own]
    return LogisticRegression(C=strength, **common) if classes else Ridge(alpha=strength, **common)


def _forest(classes: int, settings: dict[str, Any], seed: int) -> Any:
    # Of the features at each split: all for values, the square root of their number for classes, unless a share is given.
    features = settings["max_features"] or ("sqrt" if classes else 1.0)
    make = RandomForestClassifier if classes else RandomForestRegressor
    return make(**settings | {"max_features": features}, n_jobs=available_cpus(), random_state=seed)


def _boost(data: TrainingData, settings: dict[str, Any], seed: int) -> Fit:
    make = HistGradientBoostingClassifier if data.classes else HistGradientBoostingRegressor
    patience = settings["n_iter_no_change"]
    stopping = {"early_stopping": False} if patience is None else {"early_stopping": True, "n_iter_no_change": patience}
    settings = {name: value for name, value in settings.items() if name != "n_iter_no_change"}
    model = make(**settings, **stopping, scoring="loss", random_state=seed, categorical_features=None)
    watched = {} if patience is None else {"X_val": data.validation.X, "y_val": data.validation.y}
    if watched and data.validation.weights is not None:
        watched["sample_weight_val"] = data.validation.weights
    model.fit(data.train.X, data.train.y, sample_weight=data.train.weights, **watched)
    return _keep_best(data, model)


def _keep_best(data: TrainingData, model: Any) -> Fit:
    """Drop the trees after the best validation loss, which scikit-learn keeps, and return the history of the loss."""
    name = loss_name(data.classes)
    estimator = SklearnEstimator(model)
    if not model.do_early_stopping_:
        splits = {"train": data.train, "validation": data.validation}
        history = {f"{split}_{name}": [loss(rows, estimator.predict(rows.X))] for split, rows in splits.items()}
        return Fit(estimator, history, model.n_iter_)
    # The scores are negative losses, the first before any tree; the squared error's is half of the mean square.
    best = max(1, int(np.argmax(model.validation_score_)))
    del model._predictors[best:]
    scores = {"train": model.train_score_, "validation": model.validation_score_}
    in_units = (lambda value: value) if data.classes else (lambda value: np.sqrt(2 * value))
    history = {f"{split}_{name}": [float(in_units(-value)) for value in values[1:]] for split, values in scores.items()}
    return Fit(estimator, history, best)

"""The interface of a framework module: `plan(params)`, `train(data, plan, seed=)`, `load(folder)`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import Estimator

if TYPE_CHECKING:
    from stagewright.components.runtime.feature_graph import Feature

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8  # the first for opset 18: what reads these opsets reads this file


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the training or the validation split.

    Attributes:
        X: Features, [N, F] float32; NaN where missing.
        y: Class codes [N] int64, or values [N] float32.
        weights: [N] float32, or None for equal weights.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Both splits, and the features that are the columns of the matrix.

    Attributes:
        classes: Number of classes; 0 for regression.
    """

    train: Split
    validation: Split
    features: "Sequence[Feature]"
    classes: int

    def require_no_missing(self, method: str) -> None:
        """Check that no feature has missing values.

        Raises:
            InputError: If one has, naming the first.
        """
        for split in (self.train, self.validation):
            missing = np.flatnonzero(np.isnan(split.X).any(axis=0))
            if len(missing):
                name = self.features[int(missing[0])].name
                raise InputError(
                    f"feature '{name}' has missing values and {method} takes none; impute it in fit_features "
                    "or choose a method that does (hist_gradient_boosting, xgboost, lightgbm)"
                )


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a training.

    Attributes:
        history: Metrics by name, one value per iteration or epoch: train_log_loss, validation_log_loss, train_rmse, ...
        best_iteration: Number of iterations that the estimator keeps; None for methods without iterations.
    """

    estimator: Estimator
    history: dict[str, list[float]] = field(default_factory=dict)
    best_iteration: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A method with all parameters resolved, before data is read."""

    algorithm: str
    params: dict[str, Any]


class Framework(Protocol):
    """The interface of a module in this package."""

    def plan(self, params: Mapping[str, Any]) -> Plan:
        """Check the hyperparameters and add defaults.

        Raises:
            InputError: For an unknown parameter or a value that is not allowed.
        """
        ...

    def train(self, data: TrainingData, plan: Plan, *, seed: int) -> Fit:
        """Train an estimator; equal seeds and data give equal estimators.

        Raises:
            InputError: If the method cannot use the data.
        """
        ...

    def load(self, folder: Path) -> Estimator:
        """The estimator that was saved to a folder.

        Raises:
            InputError: If a file is missing or damaged.
        """
        ...


def loss_name(classes: int) -> str:
    """Name of the loss in the history: log_loss for classes, rmse for values."""
    return "log_loss" if classes else "rmse"


def loss(data: Split, predicted: np.ndarray) -> float:
    """Weighted log loss of probabilities [N, C], or weighted root mean squared error of values [N]."""
    if predicted.ndim == 2:
        chosen = predicted[np.arange(len(data.y)), data.y].astype(np.float64)
        return float(np.average(-np.log(np.clip(chosen, 1e-15, None)), weights=data.weights))
    return float(np.sqrt(np.average((predicted.astype(np.float64) - data.y) ** 2, weights=data.weights)))


def damaged(path: Path, error: Exception) -> InputError:
    """The error for an estimator file that cannot be read."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return InputError(f"{path} cannot be read as an estimator: {first}")


def row_weights(split: Split) -> np.ndarray:
    """Factor of each row's loss in the mean of a mini-batch, [N] float32; the average over all rows is 1.

    A batch of rows with small weights therefore changes a network little; the scale of the weights has no effect.
    """
    if split.weights is None:
        return np.ones(len(split.y), np.float32)
    return np.ascontiguousarray(split.weights / max(float(split.weights.mean()), 1e-30), np.float32)


def shares(weights: np.ndarray) -> np.ndarray | None:
    """Weights divided by their sum, [F] float64, or None if all are zero."""
    total = float(weights.sum())
    return (weights / total).astype(np.float64) if total > 0 else None

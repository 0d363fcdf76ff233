"""What every framework module offers and receives: `plan(params)`, `train(data, params, seed=)`, `load(folder)`."""

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
    """Rows to learn from or to watch.

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
    """Both splits and what the columns of the matrix are.

    Attributes:
        classes: Number of classes; 0 for regression.
    """

    train: Split
    validation: Split
    features: "Sequence[Feature]"
    classes: int

    def require_no_missing(self, method: str) -> None:
        """Stop a method that cannot take missing values.

        Raises:
            InputError: Naming the first feature with one.
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
    """What training gave.

    Attributes:
        history: Metric by name, one value an iteration or epoch: train_log_loss, validation_log_loss, train_rmse, ...
        best_iteration: Number of iterations that the estimator keeps; None for methods without iterations.
    """

    estimator: Estimator
    history: dict[str, list[float]] = field(default_factory=dict)
    best_iteration: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A method with every parameter resolved, before any data is seen."""

    algorithm: str
    params: dict[str, Any]


class Framework(Protocol):
    """The interface of a module in this package."""

    def plan(self, params: Mapping[str, Any]) -> Plan: ...

    def train(self, data: TrainingData, plan: Plan, *, seed: int) -> Fit: ...

    def load(self, folder: Path) -> Estimator: ...


def loss_name(classes: int) -> str:
    """What the history is about: log_loss for classes, rmse for values."""
    return "log_loss" if classes else "rmse"


def loss(data: Split, predicted: np.ndarray) -> float:
    """Weighted log loss of probabilities [N, C], or root mean squared error of values [N]."""
    if predicted.ndim == 2:
        chosen = predicted[np.arange(len(data.y)), data.y].astype(np.float64)
        return float(np.average(-np.log(np.clip(chosen, 1e-15, None)), weights=data.weights))
    return float(np.sqrt(np.average((predicted.astype(np.float64) - data.y) ** 2, weights=data.weights)))


def damaged(path: Path, error: Exception) -> InputError:
    """The error for an estimator file that cannot be read."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return InputError(f"{path} cannot be read as an estimator: {first}")


def row_weights(split: Split) -> np.ndarray:
    """What each row's loss is multiplied with before a mini-batch's mean is taken, [N] float32; 1 on average over all rows.

    So a batch of light rows moves a network little, and the size of the weights does not change the length of its steps.
    """
    if split.weights is None:
        return np.ones(len(split.y), np.float32)
    return np.ascontiguousarray(split.weights / max(float(split.weights.mean()), 1e-30), np.float32)


def shares(weights: np.ndarray) -> np.ndarray | None:
    """Weights as shares of their sum, or None if they are all zero."""
    total = float(weights.sum())
    return (weights / total).astype(np.float64) if total > 0 else None

"""A multilayer perceptron for tables with torch: embeddings for codes, mini-batches, early stopping; weights saved as .npz."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.training.frameworks import _devices
from stagewright.components.training.frameworks._base import Fit, Plan, Split, TrainingData, damaged, loss_name, row_weights
from stagewright.components.training.frameworks._mlp import Architecture, Network, architecture, graph
from stagewright.components.training.parameters import Parameter, resolve
from stagewright.components.training.trainer import History, Trainer

WEIGHTS, ARCHITECTURE = "weights.npz", "architecture.json"
PREDICT_ROWS = 65_536
PARAMETERS = {
    "hidden": Parameter([128, 64], list),
    "embedding_size": Parameter(None, int, 1, 1024, optional=True),
    "dropout": Parameter(0.1, float, 0, 0.95),
    "learning_rate": Parameter(2e-3, float, 0, above=True),
    "weight_decay": Parameter(1e-4, float, 0),
    "batch_size": Parameter(256, int, 2),
    "max_epochs": Parameter(100, int, 1, 100_000),
    "patience": Parameter(10, int, 1, optional=True),
    "device": Parameter("auto", str, choices=("auto", "cpu", "cuda")),
    "threads": Parameter(2, int, 1, 1024),
}


def plan(params: Mapping[str, Any]) -> Plan:
    """The method with all parameters resolved."""
    return Plan("mlp", resolve("torch", params, PARAMETERS))


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Train until the validation loss has not improved for `patience` epochs; the best epoch's weights are kept.

    Raises:
        InputError: If a feature has missing values, or no epoch has a finite loss.
    """
    params = plan.params
    data.require_no_missing("torch")
    device = _devices.device(params["device"])
    shape = architecture(data.features, data.train, data.classes, params)
    with _devices.reproducible(seed, params["threads"], device):
        network = Network(shape).to(device)
        history = _minimize(network, data, params, device, seed)
    name = loss_name(data.classes)
    losses = {
        f"{split}_{name}": [_in_units(value, shape) for value in values]
        for split, values in (("train", history.train), ("validation", history.validation))
    }
    return Fit(TorchEstimator(network.cpu()), losses, history.best_epoch)


def load(folder: Path) -> "TorchEstimator":
    """The estimator in a folder.

    Raises:
        InputError: If a file is missing or damaged.
    """
    try:
        shape = Architecture.from_dict(read_json((folder / ARCHITECTURE).read_text()))
        network = Network(shape)
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    except Exception as error:  # noqa: BLE001  a damaged archive can raise any error
        raise damaged(folder, error) from None
    return TorchEstimator(network)


class TorchEstimator:
    """A trained network, on the CPU."""

    def __init__(self, network: Network) -> None:
        self.network = network.eval()

    def predict(self, X: np.ndarray) -> np.ndarray:
        if np.isnan(X).any():
            raise InputError("the features have missing values and a torch model takes none; impute them in fit_features")
        with torch.inference_mode():
            parts = [self._answer(X[start : start + PREDICT_ROWS]) for start in range(0, len(X), PREDICT_ROWS)]
        return np.concatenate(parts) if parts else self._answer(X)

    def _answer(self, X: np.ndarray) -> np.ndarray:
        raw = self.network(torch.from_numpy(np.ascontiguousarray(X)))
        shape = self.network.shape
        answered = torch.softmax(raw, dim=1) if shape.classes else raw[:, 0] * shape.scale + shape.mean
        return answered.numpy()

    def save(self, folder: Path) -> None:
        np.savez(folder / WEIGHTS, **{name: value.numpy() for name, value in self.network.state_dict().items()})
        (folder / ARCHITECTURE).write_text(json.dumps(self.network.shape.to_dict(), indent=2) + "\n")

    def importances(self) -> np.ndarray | None:
        return None

    def to_onnx(self) -> ModelProto:
        return graph(self.network)


def _minimize(network: Network, data: TrainingData, params: dict[str, Any], device: torch.device, seed: int) -> History:
    optimizer = torch.optim.AdamW(network.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"])
    train_rows, validation_rows = (_tensors(split, network.shape, device) for split in (data.train, data.validation))
    shuffle = torch.Generator().manual_seed(seed)
    return Trainer(network, params["max_epochs"], params["patience"], "training torch").run(
        lambda: _epoch(network, optimizer, train_rows, params["batch_size"], shuffle),
        lambda: _mean_loss(network, validation_rows),
    )


def _epoch(network: Network, optimizer: Any, rows: tuple, size: int, shuffle: torch.Generator) -> float:
    """One pass over the training rows in random order; returns the mean training loss."""
    network.train()
    X, y, weights = rows
    order = torch.randperm(len(X), generator=shuffle).to(X.device)
    total, mass = torch.zeros((), device=X.device), torch.zeros((), device=X.device)
    for chosen in order.split(size):
        if len(chosen) < 2 and len(X) > 1:
            continue  # batch normalization needs two rows; a single row is trained in another epoch
        losses = network.losses(X[chosen], y[chosen]) * weights[chosen]
        optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        optimizer.step()
        total += losses.detach().sum()
        mass += weights[chosen].sum()
    return float(total / mass)


def _mean_loss(network: Network, rows: tuple) -> float:
    network.eval()
    X, y, weights = rows
    parts = zip(X.split(PREDICT_ROWS), y.split(PREDICT_ROWS), weights.split(PREDICT_ROWS), strict=True)
    with torch.inference_mode():
        return float(sum((network.losses(x, t) * w).sum() for x, t, w in parts) / weights.sum())


def _in_units(mean_loss: float, shape: Architecture) -> float:
    """The log loss unchanged; the mean square of standardized values as the root mean square in units of the target."""
    return mean_loss if shape.classes else mean_loss**0.5 * shape.scale


def _tensors(split: Split, shape: Architecture, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, target (standardized for regression) and weights of a split."""
    y = split.y if shape.classes else ((split.y - shape.mean) / shape.scale).astype(np.float32)
    parts = (split.X, y, row_weights(split))
    x, target, weight = (torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in parts)
    return x, target, weight

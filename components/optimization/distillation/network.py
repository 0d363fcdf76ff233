"""A perceptron taught by soft targets at a temperature and, where the teacher is a network too, by what its layers hold.

Sources: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015), for the temperature and the factor of
its square; Romero, Ballas, Kahou, Chassang, Gatta and Bengio, FitNets: Hints for Thin Deep Nets (2015), for the hidden layer
that is matched through a linear map which is thrown away afterwards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from stagewright.components.optimization.distillation.teacher import soften
from stagewright.components.runtime.errors import InputError
from stagewright.components.training.frameworks import _devices
from stagewright.components.training.frameworks._base import Fit, Plan, Split, loss_name
from stagewright.components.training.frameworks._mlp import Architecture, Network, architecture
from stagewright.components.training.frameworks.torch import TorchEstimator
from stagewright.components.training.trainer import History, Trainer

ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class SoftSplit:
    """Rows with what the teacher thinks of them.

    Attributes:
        X: [N, F] float32.
        labels: [N, C] soft labels, or [N] values.
        hidden: [N, H] the teacher's last hidden layer, or None.
    """

    X: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    X: torch.Tensor
    labels: torch.Tensor
    hidden: torch.Tensor | None


def train(
    train: SoftSplit, validation: SoftSplit, features: Any, plan: Plan, *, temperature: float, hidden_weight: float, seed: int
) -> Fit:
    """Train until the loss on the validation rows has not improved for `patience` epochs; the best epoch's weights are kept.

    Args:
        features: What the columns of X are.
        temperature: Both sides' logits are divided by it; it says how much the less likely classes count.
        hidden_weight: Weight of the hidden layer's mean squared error beside the soft targets' loss.
    """
    params = plan.params
    if any(np.isnan(rows.X).any() for rows in (train, validation)):
        raise InputError("the features have missing values and a network takes none; let fit_features impute them")
    classes = train.labels.shape[1] if train.labels.ndim == 2 else 0
    device = _devices.device(params["device"])
    shape = architecture(features, Split(train.X, train.labels), classes, params)
    with _devices.reproducible(seed, params["threads"], device):
        network = Network(shape).to(device)
        teaching = _Teaching(network, temperature, hidden_weight, train.hidden)
        train_rows, validation_rows = (_tensors(rows, shape, temperature, device) for rows in (train, validation))
        history = _minimize(teaching.to(device), train_rows, validation_rows, params, seed)
    name = f"distillation_{loss_name(classes)}"
    losses = {f"train_{name}": [*history.train], f"validation_{name}": [*history.validation]}
    return Fit(TorchEstimator(network.cpu()), losses, history.best_epoch)


def hidden_states(estimator: Any, X: np.ndarray) -> np.ndarray:
    """What enters the head of a trained perceptron: [N, H] float32."""
    network: Network = estimator.network
    with torch.inference_mode():
        parts = [_forward(network, torch.from_numpy(X[at : at + ROWS_AT_ONCE]))[1] for at in range(0, len(X), ROWS_AT_ONCE)]
    return torch.cat(parts).numpy()


class _Teaching(nn.Module):
    """The student, the loss, and the linear map from its hidden layer to the teacher's."""

    def __init__(self, network: Network, temperature: float, hidden_weight: float, hidden: np.ndarray | None) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        self.hidden_weight = hidden_weight if hidden is not None else 0.0
        self.map = nn.Linear(network.head.in_features, hidden.shape[1]) if hidden is not None and hidden_weight else None
        spread = 1.0 if hidden is None else float(hidden.std()) or 1.0
        self.register_buffer("spread", torch.tensor(spread))

    def losses(self, rows: _Rows, chosen: torch.Tensor | slice) -> torch.Tensor:
        """The loss of each row: T² KL(teacher || student) at the temperature, or the squared error, plus the hidden part."""
        raw, hidden = _forward(self.network, rows.X[chosen])
        labels = rows.labels[chosen]
        if self.network.shape.classes:
            answered = torch.log_softmax(raw / self.temperature, dim=1)
            found = self.temperature**2 * nn.functional.kl_div(answered, labels, reduction="none").sum(dim=1)
        else:
            found = (raw[:, 0] - labels) ** 2
        if self.map is not None and rows.hidden is not None:
            missed = ((self.map(hidden) - rows.hidden[chosen]) / self.spread) ** 2
            found = found + self.hidden_weight * missed.mean(dim=1)
        return found


def _forward(network: Network, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's answer and what enters its head."""
    entered: list[torch.Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    try:
        return network(X), entered[0]
    finally:
        hook.remove()


def _minimize(teaching: _Teaching, train: _Rows, validation: _Rows, params: dict[str, Any], seed: int) -> History:
    optimizer = torch.optim.AdamW(teaching.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"])
    shuffle = torch.Generator().manual_seed(seed)
    return Trainer(teaching.network, params["max_epochs"], params["patience"], "teaching the network").run(
        lambda: _epoch(teaching, optimizer, train, params["batch_size"], shuffle),
        lambda: _validation_loss(teaching, validation),
    )


def _epoch(teaching: _Teaching, optimizer: Any, rows: _Rows, size: int, shuffle: torch.Generator) -> float:
    teaching.train()
    total, count = 0.0, 0
    for chosen in torch.randperm(len(rows.X), generator=shuffle).to(rows.X.device).split(size):
        if len(chosen) < 2 and len(rows.X) > 1:
            continue  # batch normalization needs two rows
        loss = teaching.losses(rows, chosen).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, count = total + float(loss.detach()) * len(chosen), count + len(chosen)
    return total / max(count, 1)


def _validation_loss(teaching: _Teaching, rows: _Rows) -> float:
    teaching.eval()
    with torch.inference_mode():
        parts = [teaching.losses(rows, slice(at, at + ROWS_AT_ONCE)).sum() for at in range(0, len(rows.X), ROWS_AT_ONCE)]
    return float(sum(parts) / len(rows.X))


def _tensors(rows: SoftSplit, shape: Architecture, temperature: float, device: torch.device) -> _Rows:
    """Features, labels at the temperature (or standardized values) and hidden states on a device."""
    labels = soften(rows.labels, temperature) if shape.classes else (rows.labels - shape.mean) / shape.scale

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    return _Rows(tensor(rows.X), tensor(labels), None if rows.hidden is None else tensor(rows.hidden))

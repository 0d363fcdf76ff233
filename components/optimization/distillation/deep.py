"""Small networks of images and texts, taught by large ones: soft targets at a temperature and what the layers hold.

A student reads what its teacher reads. A convolutional student is a smaller network of its own; a transformer's is the teacher
itself with some of its layers, evenly spread, which go on learning.

Sources: Sanh, Debut, Chaumond and Wolf, DistilBERT (2019), for a student that begins with its teacher's layers; Jiao et al.,
TinyBERT (2020), for the mean squared error between matching layers.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stagewright.components.optimization.distillation.teacher import soften
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.model import Estimator
from stagewright.components.training.frameworks import _deep, _devices, _images, _language
from stagewright.components.training.frameworks._base import Fit, Plan
from stagewright.components.training.frameworks.torch_vision import VisionEstimator, learn_only
from stagewright.components.training.frameworks.transformers import LanguageEstimator
from stagewright.components.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """Parameters of the distillation of a network.

    Attributes:
        temperature: Both sides' logits are divided by it.
        hidden_weight: Weight of the layers' mean squared error beside the soft targets' loss; 0 does without the teacher's
            layers.
        consistent: Whether the teacher looks at each image as it is shown to the student, shifted or turned, and not once
            at the image itself (Beyer et al., A Good Teacher is Patient and Consistent, 2022).
    """

    temperature: float
    hidden_weight: float
    consistent: bool
    seed: int


@dataclass(frozen=True)
class StudentNetwork:
    """A student before its first config.

    Attributes:
        points: Modules of the student and of the teacher whose outputs are to match.
    """

    network: nn.Module
    rows: tuple[_deep.Rows, _deep.Rows]
    points: Sequence[tuple[nn.Module, nn.Module]]
    estimator: type


def teach(
    teacher: Estimator | None,
    X: tuple[np.ndarray, np.ndarray],
    labels: tuple[np.ndarray, np.ndarray],
    plan: Plan,
    config: DistillationConfig,
    layers: int | None,
) -> Fit:
    """A student of the same input as its teacher.

    Args:
        teacher: A loaded network of images or texts.
        X: Features of the training and of the validation rows.
        labels: Soft labels of both.
        layers: Of a transformer: how many of the teacher's layers the student keeps.
    """
    params = plan.params
    with _devices.reproducible(config.seed, params["threads"], _devices.device(params["device"]), strict=False):
        if isinstance(teacher, LanguageEstimator):
            student = _transformer(teacher.network, X, params, layers)
        elif isinstance(teacher, VisionEstimator):
            student = _vision(teacher.network, X, params)
        else:
            raise InputError("a student of images or texts needs a teacher of framework torch_vision or transformers")
        history, best = _minimize(student, teacher.network, labels, params, config)
    return Fit(student.estimator(student.network.cpu()), history, best)


def _vision(teacher: Any, X: tuple[np.ndarray, np.ndarray], params: Mapping[str, Any]) -> StudentNetwork:
    known = teacher.architecture
    network = _images.build(
        _images.Architecture(
            params["architecture"], known.shape, known.classes, tuple(params["stages"]), params["dropout"], params["resize"]
        )
    )
    if params["weights"]:
        logs.event("weights_adopted", tensors=_images.adopt(network, Path(params["weights"])), file=params["weights"])
    learn_only(network, params["fine_tune"])
    moved = {name: params[name] for name in ("shift", "rotate", "flip")}
    rows = _images.Images(X[0], known.shape, **moved), _images.Images(X[1], known.shape)
    return StudentNetwork(network, rows, [(_head(network), _head(teacher))], VisionEstimator)


def _transformer(
    teacher: Any, X: tuple[np.ndarray, np.ndarray], params: Mapping[str, Any], layers: int | None
) -> StudentNetwork:  # fmt: skip
    stack = _stack(teacher.encoder)
    count = layers or max(1, len(stack) // 2)
    if not 1 <= count < len(stack):
        expected = f"a whole number of at least 1 and below the teacher's {len(stack)}"
        raise BadParameter("params.layers", got=count, expected=expected)
    kept = np.unique(np.linspace(len(stack) / count - 1, len(stack) - 1, count).round().astype(int)).tolist()
    network = copy.deepcopy(teacher)
    own = _stack(network.encoder)
    chosen = [own[at] for at in kept]
    del own[:]
    own.extend(chosen)
    network.encoder.config.num_hidden_layers = len(kept)
    for parameter in network.parameters():
        parameter.requires_grad_(requires_grad=True)
    _language.learn_only(network, params["fine_tune"], params["last_layers"])
    rows = tuple(_language.Texts(part, teacher.architecture.padding) for part in X)
    points = [*zip(chosen, (stack[at] for at in kept), strict=True)]
    return StudentNetwork(network, (rows[0], rows[1]), points, LanguageEstimator)


def _stack(encoder: nn.Module) -> Any:
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise InputError("this transformer has no list of layers; a student cannot keep some of them")
    return max(stacks, key=len)


def _head(network: nn.Module) -> nn.Module:
    """The last linear layer: what it answers are the logits, what enters it is the last hidden layer."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


class _Taps:
    """What comes out of some modules (or, of a head, what goes in) while a network answers."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.held: list[torch.Tensor] = []
        for module in modules:
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(lambda _, given: self.held.append(given[0]))
            else:
                module.register_forward_hook(lambda _, __, made: self.held.append(made[0] if isinstance(made, tuple) else made))

    def take(self) -> list[torch.Tensor]:
        held, self.held = self.held, []
        return held


class _TeacherStudent:
    """Teacher and student on one device, and the loss between them."""

    def __init__(
        self, student: StudentNetwork, teacher: nn.Module, device: torch.device, precision: str, config: DistillationConfig
    ) -> None:
        self.student, self.device, self.config = student.network.to(device), device, config
        self.precision = _deep.precision(precision, device)
        wanted = config.hidden_weight or config.consistent
        self.teacher = copy.deepcopy(teacher).to(device).eval() if wanted else None
        self.maps = nn.ModuleList()
        if self.teacher is not None and config.hidden_weight:
            places = {id(module): name for name, module in teacher.named_modules()}
            copied = dict(self.teacher.named_modules())
            self.theirs = _Taps([copied[places[id(known)]] for _, known in student.points])
            self.ours = _Taps([own for own, _ in student.points])

    def losses(self, given: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """T² KL(teacher || student) of each row, plus the mean squared error between matching layers."""
        temperature = self.config.temperature
        answered = torch.log_softmax(self._logits(self.student, given) / temperature, dim=1)
        if self.teacher is not None:
            with torch.no_grad():
                theirs = torch.softmax(self._logits(self.teacher, given) / temperature, dim=1)
            labels = theirs if self.config.consistent else labels
        found = temperature**2 * nn.functional.kl_div(answered, labels, reduction="none").sum(dim=1)
        if not self.config.hidden_weight:
            return found
        for at, (own, known) in enumerate(zip(self.ours.take(), self.theirs.take(), strict=True)):
            if len(self.maps) <= at:
                made = nn.Identity() if own.shape[-1] == known.shape[-1] else nn.Linear(own.shape[-1], known.shape[-1])
                self.maps.append(made.to(self.device))
            missed = (self.maps[at](own.float()) - known.float()) ** 2
            found = found + self.config.hidden_weight * missed.flatten(1).mean(dim=1)
        return found

    def _logits(self, network: nn.Module, given: torch.Tensor) -> torch.Tensor:
        """What a network answers, computed in the precision that was asked for."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits: torch.Tensor = network(given)
        return logits.float()


def _minimize(
    student: StudentNetwork,
    teacher: nn.Module,
    labels: tuple[np.ndarray, np.ndarray],
    params: Mapping[str, Any],
    config: DistillationConfig,
) -> tuple[dict[str, list[float]], int]:
    device = _devices.device(params["device"])
    pair = _TeacherStudent(student, teacher, device, params["precision"], config)
    soft = [torch.from_numpy(soften(part, config.temperature).astype(np.float32)) for part in labels]
    shuffle = torch.Generator().manual_seed(config.seed)
    pair.losses(student.rows[0].take(torch.arange(2), None).to(device), soft[0][:2].to(device))  # makes the maps
    learned = [one for one in (*pair.student.parameters(), *pair.maps.parameters()) if one.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=params["learning_rate"], weight_decay=params["weight_decay"])
    history = Trainer(pair.student, params["max_epochs"], params["patience"], "teaching the network").run(
        lambda: _pass(pair, student.rows[0], soft[0], params["batch_size"], shuffle, optimizer),
        lambda: _pass(pair, student.rows[1], soft[1], params["batch_size"], None, None),
    )
    student.network.cpu()
    for module in student.network.modules():  # the taps were for the lessons
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    losses = {
        "train_distillation_log_loss": [*history.train],
        "validation_distillation_log_loss": [*history.validation],
    }
    return losses, history.best_epoch


def _pass(
    pair: _TeacherStudent, rows: _deep.Rows, labels: torch.Tensor, size: int, shuffle: torch.Generator | None, optimizer: Any
) -> float:
    """One pass over all rows, learning if there is an optimizer; the mean loss."""
    pair.student.train(optimizer is not None)
    total, count = 0.0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for chosen in rows.batches(size, shuffle):
            if optimizer is not None and len(chosen) < 2:
                continue  # batch normalization needs two rows
            loss = pair.losses(rows.take(chosen, shuffle).to(pair.device), labels[chosen].to(pair.device)).mean()
            if optimizer is not None:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            total, count = total + float(loss.detach()) * len(chosen), count + len(chosen)
    return total / max(count, 1)

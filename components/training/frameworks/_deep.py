"""Training, export and storage of deep networks: warm-up and decay, early stopping, one ONNX graph, safetensors."""

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from stagewright.components.runtime.errors import InputError
from stagewright.components.training.frameworks import _devices
from stagewright.components.training.frameworks._base import OPSETS, Split, TrainingData, row_weights
from stagewright.components.training.parameters import Parameter
from stagewright.components.training.trainer import Trainer

ARCHITECTURE, WEIGHTS = "architecture.json", "model.safetensors"
WARM_UP = 0.06  # share of all steps
PARAMETERS = {
    "dropout": Parameter(0.1, float, 0, 0.95),
    "weight_decay": Parameter(1e-2, float, 0),
    "device": Parameter("auto", str, choices=("auto", "cpu", "cuda")),
    "precision": Parameter("auto", str, choices=("auto", "float32", "bfloat16")),
    "threads": Parameter(2, int, 1, 1024),
}


class Rows(Protocol):
    """Rows of one split, as inputs of a network."""

    def __len__(self) -> int: ...

    def batches(self, size: int, shuffle: torch.Generator | None) -> Iterator[torch.Tensor]:
        """Indices of each batch: in random order, or in the order that is fastest to compute."""
        ...

    def take(self, chosen: torch.Tensor, shuffle: torch.Generator | None) -> torch.Tensor:
        """The network's input for some rows; augmented if `shuffle` is given and the framework augments."""
        ...


class ClassifierTrainer:
    """Minimizes the cross-entropy of a network until the validation loss has not improved for `patience` epochs.

    AdamW, a linear warm-up, a cosine decay over `max_epochs`, and gradients clipped to the norm `clip`.
    """

    def __init__(self, network: nn.Module, data: TrainingData, params: Mapping[str, Any], *, clip: float | None = None) -> None:
        self.network, self.params, self.clip = network, params, clip
        self.device = _devices.device(params["device"])
        self.precision = precision(params["precision"], self.device)
        self.targets = {name: _targets(split) for name, split in (("train", data.train), ("validation", data.validation))}

    def run(self, train: Rows, validation: Rows, seed: int, framework: str) -> tuple[dict[str, list[float]], int]:
        """Train; return both losses by epoch and the number of the best epoch, whose weights the network has then.

        Args:
            framework: Name for the progress bar and the error.

        Raises:
            InputError: If no epoch has a finite loss.
        """
        self.network.to(self.device)
        epochs = self.params["max_epochs"]
        learned = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=self.params["learning_rate"], weight_decay=self.params["weight_decay"])
        steps = epochs * math.ceil(len(train) / self.params["batch_size"])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        shuffle = torch.Generator().manual_seed(seed)
        history = Trainer(self.network, epochs, self.params["patience"], f"training {framework}").run(
            lambda: self._epoch(train, optimizer, schedule, shuffle), lambda: self._validation_loss(validation)
        )
        self.network.cpu()
        losses = {"train_log_loss": [*history.train], "validation_log_loss": [*history.validation]}
        return losses, history.best_epoch

    def _epoch(self, rows: Rows, optimizer: Any, schedule: Any, shuffle: torch.Generator) -> float:
        self.network.train()
        total, mass = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for chosen in rows.batches(self.params["batch_size"], shuffle):
            if len(chosen) < 2 and len(rows) > 1:
                continue  # batch normalization needs two rows; a single row is trained in another epoch
            losses, weights = self._losses("train", rows, chosen, shuffle)
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
            optimizer.step()
            schedule.step()
            total += losses.detach().sum()
            mass += weights.sum()
        return float(total / mass)

    def _validation_loss(self, rows: Rows) -> float:
        self.network.eval()
        total = mass = 0.0
        with torch.inference_mode():
            for chosen in rows.batches(self.params["batch_size"], None):
                losses, weights = self._losses("validation", rows, chosen, None)
                total, mass = total + float(losses.sum()), mass + float(weights.sum())
        return total / mass

    def _losses(
        self, split: str, rows: Rows, chosen: torch.Tensor, shuffle: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        given = rows.take(chosen, shuffle).to(self.device, non_blocking=True)
        y, weights = (values[chosen].to(self.device) for values in self.targets[split])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = self.network(given)
        return nn.functional.cross_entropy(logits.float(), y, reduction="none") * weights, weights


def probabilities(network: nn.Module, rows: Rows, size: int, classes: int) -> np.ndarray:
    """Probabilities [N, C] float32 of a network on the CPU, in the order of the rows."""
    network.eval()
    answered = torch.zeros(len(rows), classes)
    with torch.inference_mode():
        for chosen in rows.batches(size, None):
            answered[chosen] = torch.softmax(network(rows.take(chosen, None)).float(), dim=1)
    return answered.numpy()


def exported(network: nn.Module, example: torch.Tensor, *, columns: Any = None) -> ModelProto:
    """A network as ONNX: `features` float [N, F] -> `probabilities` float [N, C].

    Args:
        example: Features of at least two rows, [N, F] float32.
        columns: Name of the dimension F if it is dynamic.

    Raises:
        InputError: If ONNX does not support an operation of the network.
    """
    import onnx

    shapes: dict[int, Any] = {0: torch.export.Dim("N")} | ({} if columns is None else {1: columns})
    with _suppress_output(), torch.inference_mode(mode=False), torch.no_grad():
        try:
            program = torch.onnx.export(
                _Answering(network.eval()), (example,), dynamo=True, input_names=["features"], output_names=["probabilities"],
                dynamic_shapes=(shapes,), opset_version=OPSETS[""], optimize=True, verbose=False,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  the exporter's errors share no base class
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"the network cannot be exported to ONNX: {first}") from None
    if program is None:
        raise InputError("the network cannot be exported to ONNX: the exporter returned nothing")
    # The exporter notes where in the source each node comes from: machine paths, and another text in every run.
    proto: ModelProto = onnx.load_model_from_string(program.model_proto.SerializeToString())
    for entry in (proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del entry.metadata_props[:]
        entry.doc_string = ""
    del proto.metadata_props[:]
    return proto


class _Answering(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.network(features), dim=1)


def save(folder: Path, network: nn.Module, architecture: Mapping[str, Any]) -> None:
    """Write a network's weights and its description."""
    from safetensors.torch import save_file

    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / ARCHITECTURE).write_text(json.dumps(architecture, indent=2) + "\n")


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a .safetensors file or a file of torch.save; only tensors are read.

    Raises:
        InputError: If the file does not exist or does not hold tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"no weights at {path}") from None
    except Exception as error:  # noqa: BLE001  a damaged file can raise any error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path} does not hold weights: {first}") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else None
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{path} does not hold weights: expected tensors by name")
    return found


def _rate(step: int, steps: int) -> float:
    warm = max(1, round(WARM_UP * steps))
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _targets(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Class codes [N] and row weights [N]."""
    return torch.from_numpy(split.y.astype(np.int64)), torch.from_numpy(row_weights(split))


def precision(wanted: str, device: torch.device) -> str:
    """float32 or bfloat16; `auto` is bfloat16 on a GPU that can compute with it."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


@contextmanager
def _suppress_output() -> Iterator[None]:
    """Suppress the exporter's messages, which a user cannot act on."""
    names = ("torch.onnx", "torch.onnx._internal", "onnxscript", "onnx_ir", "torch.export", "torch.fx")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""Image classifiers with torch: a small convolutional network, or one of torchvision or timm; saved as safetensors."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import ModelProto

from stagewright.components.runtime import logs
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import VALUES_AT_ONCE
from stagewright.components.training.frameworks import _deep, _devices
from stagewright.components.training.frameworks._base import Fit, Plan, TrainingData, damaged
from stagewright.components.training.frameworks._images import Architecture, Images, Network, adopt, build
from stagewright.components.training.parameters import Parameter, resolve

if TYPE_CHECKING:
    from stagewright.components.runtime.feature_graph import Feature

PARAMETERS = _deep.PARAMETERS | {
    "architecture": Parameter("cnn", str),
    "stages": Parameter([32, 64, 128], list),
    "weights": Parameter("", str),
    "fine_tune": Parameter("all", str, choices=("all", "head")),
    "resize": Parameter(0, int, 0, 4096),
    "shift": Parameter(0.1, float, 0, 0.5),
    "rotate": Parameter(0.0, float, 0, 180),
    "flip": Parameter(False, bool),
    "learning_rate": Parameter(2e-3, float, 0, above=True),
    "batch_size": Parameter(64, int, 2),
    "max_epochs": Parameter(40, int, 1, 100_000),
    "patience": Parameter(8, int, 1, optional=True),
}


def plan(params: Mapping[str, Any]) -> Plan:
    """The method with all parameters resolved; the algorithm is the architecture's name."""
    resolved = resolve("torch_vision", params, PARAMETERS)
    return Plan(resolved["architecture"], resolved)


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Train until the validation loss has not improved for `patience` epochs; the best epoch's weights are kept."""
    params = plan.params
    shape = _shape(data.features)
    if not data.classes:
        raise InputError("torch_vision trains classifiers, but the task is regression; give a target with classes")
    architecture = Architecture(
        params["architecture"], shape, data.classes, tuple(params["stages"]), params["dropout"], params["resize"]
    )
    with _devices.reproducible(seed, params["threads"], _devices.device(params["device"]), strict=False):
        network = build(architecture)
        if params["weights"]:
            logs.event("weights_adopted", tensors=adopt(network, Path(params["weights"])), file=params["weights"])
        learn_only(network, params["fine_tune"])
        moved = {name: params[name] for name in ("shift", "rotate", "flip")}
        train_rows, validation_rows = Images(data.train.X, shape, **moved), Images(data.validation.X, shape)
        history, best = _deep.ClassifierTrainer(network, data, params).run(train_rows, validation_rows, seed, "torch_vision")
    return Fit(VisionEstimator(network), history, best)


def load(folder: Path) -> "VisionEstimator":
    """The estimator in a folder.

    Raises:
        InputError: If a file is missing or damaged.
    """
    try:
        network = Network(Architecture.from_dict(read_json((folder / _deep.ARCHITECTURE).read_text())))
        network.load_state_dict(_deep.weights(folder / _deep.WEIGHTS))
    except Exception as error:  # noqa: BLE001  a damaged file can raise any error
        raise damaged(folder, error) from None
    return VisionEstimator(network)


class VisionEstimator:
    """A trained network, on the CPU."""

    def __init__(self, network: Network) -> None:
        self.network = network.cpu().eval()

    def predict(self, X: np.ndarray) -> np.ndarray:
        architecture = self.network.architecture
        size = max(1, VALUES_AT_ONCE // prod(architecture.shape) // 8)  # torch keeps more in memory than ONNX Runtime
        return _deep.probabilities(self.network, Images(X, architecture.shape), size, architecture.classes)

    def save(self, folder: Path) -> None:
        _deep.save(folder, self.network, self.network.architecture.to_dict())

    def importances(self) -> np.ndarray | None:
        return None

    def to_onnx(self) -> ModelProto:
        width = prod(self.network.architecture.shape)
        return _deep.exported(self.network, torch.zeros(2, width))


def _shape(features: "Any") -> tuple[int, int, int]:
    images: list[Feature] = [feature for feature in features if feature.shape is not None and len(feature.shape) == 3]
    if len(images) != 1 or len(features) != 1:
        raise InputError("torch_vision reads one column of images; fit the features with framework torch_vision")
    channels, height, width = images[0].shape or (0, 0, 0)
    return channels, height, width


def learn_only(network: Network, fine_tune: str) -> None:
    """Freeze all layers but the head if `fine_tune` is head.

    Raises:
        InputError: If the head of the network cannot be found.
    """
    if fine_tune == "all":
        return
    head = network.head()
    if head is None:
        raise InputError(
            f"architecture '{network.architecture.name}' has no layer that is known to be its head; set params.fine_tune to all"
        )
    for parameter in network.parameters():
        parameter.requires_grad = False
    for parameter in head.parameters():
        parameter.requires_grad = True

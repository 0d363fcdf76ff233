"""Networks that classify images: a small convolutional network, or one of torchvision or timm by name."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean
from stagewright.components.runtime.vision import prepare_torchvision
from stagewright.components.training.frameworks._deep import weights

_COLOURS = 3  # channels of pretrained networks; a grey image is repeated three times


@dataclass(frozen=True, slots=True)
class Architecture:
    """Description of a network without its weights.

    Attributes:
        name: cnn, torchvision/<name> or timm/<name>.
        shape: Channels, height and width of an image.
        stages: Number of filters of each stage, for `cnn`.
        resize: Resize images to this height and width in pixels; 0 keeps their size.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    stages: tuple[int, ...]
    dropout: float
    resize: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        return cls(**{**document, "shape": tuple(document["shape"]), "stages": tuple(document["stages"])})


class Network(nn.Module):
    """Flattened images [N, C * H * W] to logits [N, classes]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.body = _body(architecture)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shape = self.architecture
        X = features.reshape(-1, *shape.shape)
        if shape.resize:
            X = nn.functional.interpolate(X, size=(shape.resize, shape.resize), mode="bilinear", align_corners=False)
        if shape.name != "cnn" and shape.shape[0] == 1:
            X = X.expand(-1, _COLOURS, -1, -1)
        answered = self.body(X)
        # Some networks have outputs at several depths in training.
        return answered if isinstance(answered, torch.Tensor) else answered[0]

    def head(self) -> nn.Linear | nn.Conv2d | None:
        """The layer that outputs the classes, or None if it cannot be found."""
        layers = [layer for layer in self.body.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        last = layers[-1] if layers else None
        return last if last is not None and last.weight.shape[0] == self.architecture.classes else None


def build(architecture: Architecture) -> Network:
    """A network with random weights, checked on one image.

    Raises:
        InputError: If its package is not installed, or it does not accept images of this size.
        BadParameter: If there is no architecture of this name.
    """
    network = Network(architecture)
    size = " x ".join(map(str, architecture.shape[1:]))
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(2, prod(architecture.shape)))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"architecture '{architecture.name}' cannot take images of {size} pixels ({reason}); set params.resize, such as 224"
        ) from None
    return network


def adopt(network: Network, path: Path) -> int:
    """Load the weights of a file, without the head if the file has other classes; returns the number of tensors.

    Raises:
        InputError: If the file does not fit the network.
    """
    given, own = weights(path), network.body.state_dict()
    head = network.head()
    names = {name for name, layer in network.body.named_modules() if layer is head}
    replaceable = {name for name in own if head is not None and name.rpartition(".")[0] in names}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    lacking = [name for name in own if name not in fitting and name not in replaceable and "num_batches_tracked" not in name]
    if lacking:
        raise InputError(
            f"{path} does not fit architecture '{network.architecture.name}': {len(lacking)} of {len(own)} tensors are missing "
            f"or of another shape, first '{lacking[0]}'"
        )
    network.body.load_state_dict(fitting, strict=False)
    return len(fitting)


class Images:
    """Rows of flattened images, with optional random shifts, rotations and flips.

    Args:
        X: [N, C * H * W] float32.
        shift: Maximum shift, as a fraction of height and width.
        rotate: Maximum rotation in degrees.
        flip: Whether images are flipped horizontally at random.
    """

    def __init__(
        self, X: np.ndarray, shape: tuple[int, ...], *, shift: float = 0.0, rotate: float = 0.0, flip: bool = False
    ) -> None:
        self.X, self.shape = torch.from_numpy(np.ascontiguousarray(X, np.float32)), shape
        self.shift, self.rotate, self.flip = shift, rotate, flip

    def __len__(self) -> int:
        return len(self.X)

    def batches(self, size: int, shuffle: torch.Generator | None) -> Iterator[torch.Tensor]:
        rows = len(self.X)
        order = torch.arange(rows) if shuffle is None else torch.randperm(rows, generator=shuffle)
        yield from order.split(size) if rows else ()

    def take(self, chosen: torch.Tensor, shuffle: torch.Generator | None) -> torch.Tensor:
        X = self.X[chosen]
        if shuffle is None or not (self.shift or self.rotate or self.flip):
            return X
        return self._changed(X.reshape(-1, *self.shape), shuffle).flatten(1)

    def _changed(self, X: torch.Tensor, shuffle: torch.Generator) -> torch.Tensor:
        """Each image with its own random change; pixels from outside repeat the border."""
        draws = torch.rand(4, len(X), generator=shuffle)
        angle = (2 * draws[0] - 1) * np.pi / 180 * self.rotate
        mirror = torch.where(draws[3] < 0.5, -1.0, 1.0) if self.flip else torch.ones(len(X))
        across, down = 2 * self.shift * (2 * draws[1:3] - 1)
        sine, cosine = torch.sin(angle), torch.cos(angle)
        moves = torch.stack(
            [torch.stack([cosine * mirror, -sine, across], 1), torch.stack([sine * mirror, cosine, down], 1)], 1
        )
        grid = nn.functional.affine_grid(moves, list(X.shape), align_corners=False)
        return nn.functional.grid_sample(X, grid, padding_mode="border", align_corners=False)


def _body(architecture: Architecture) -> nn.Module:
    library, _, name = architecture.name.partition("/")
    channels, classes = architecture.shape[0], architecture.classes
    if architecture.name == "cnn":
        return _small(architecture)
    if library not in ("torchvision", "timm") or not name:
        raise BadParameter(
            "params.architecture", got=architecture.name, expected="cnn, torchvision/<name> such as torchvision/resnet18, "
            "or timm/<name> such as timm/mobilenetv3_small_050",
        )  # fmt: skip
    if channels not in (1, _COLOURS):
        raise InputError(f"architecture '{architecture.name}' takes grey or colour images; these have {channels} channels")
    prepare_torchvision()
    try:
        if library == "timm":
            import timm

            known = timm.list_models()
            return timm.create_model(name, pretrained=False, num_classes=classes, drop_rate=architecture.dropout)
        from torchvision import models

        known = models.list_models(module=models)
        return models.get_model(name, weights=None, num_classes=classes)
    except ModuleNotFoundError as error:
        raise InputError(
            f"architecture '{architecture.name}' needs the package '{error.name}', which is not installed"
        ) from None
    except (RuntimeError, ValueError, KeyError):
        if name in known:
            raise
        raise BadParameter("params.architecture", got=architecture.name,
                           expected=f"a name that {library} knows{did_you_mean(name, known)}") from None  # fmt: skip


def _small(architecture: Architecture) -> nn.Sequential:
    """Two 3 x 3 convolutions a stage, each stage at half the size of the one before, then the mean over the image."""
    layers: list[nn.Module] = []
    given, side = architecture.shape[0], architecture.resize or min(architecture.shape[1:])
    for number, filters in enumerate(architecture.stages):
        if number and side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        for channels in (given, filters):
            layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        given = filters
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(architecture.dropout), nn.Linear(given, architecture.classes)]
    return nn.Sequential(*layers, *end)

"""Networks that classify texts: a transformer from a folder, pooling over its tokens, a linear layer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.language import CONFIG, BaseModel
from stagewright.components.runtime.vision import prepare_torchvision

_SORTED_BATCHES = 32  # batches that are drawn together and sorted by length, so that a batch has texts of similar length


@dataclass(frozen=True, slots=True)
class Architecture:
    """Description of a network without its weights and the transformer's configuration.

    Attributes:
        padding: Id of the padding token.
        pooling: mean, cls or max.
    """

    classes: int
    max_tokens: int
    padding: int
    pooling: str
    dropout: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        return cls(**document)


class Network(nn.Module):
    """Token ids [N, L] of any numeric type to logits [N, classes]; padding tokens are masked."""

    def __init__(self, encoder: nn.Module, architecture: Architecture, width: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = encoder
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(width, architecture.classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.embed(ids)))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """One vector for each text, [N, width]."""
        ids = ids.to(torch.int64)
        known = ids != self.architecture.padding
        hidden = self.encoder(input_ids=ids, attention_mask=known.to(torch.int64)).last_hidden_state
        if self.architecture.pooling == "cls":
            return hidden[:, 0]
        counted = known.unsqueeze(-1)
        if self.architecture.pooling == "max":
            return hidden.masked_fill(~counted, torch.finfo(hidden.dtype).min).amax(dim=1)
        share = counted.to(hidden.dtype)
        return (hidden * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)


def pretrained(base: BaseModel, architecture: Architecture) -> Network:
    """The base model with a new head.

    Raises:
        InputError: If the type of the transformer is unknown, or its files are damaged.
    """
    auto = _transformers()
    try:
        encoder = auto.AutoModel.from_pretrained(
            base.folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, attn_implementation="eager",
            dtype=torch.float32,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001  the library's errors share no base class
        raise InputError(f"{base.folder} cannot be read as a transformer: {_first_line(error)}") from None
    return _with_head(encoder, architecture)


def empty(folder: Path, architecture: Architecture) -> Network:
    """A network with a stored configuration and random weights."""
    auto = _transformers()
    config = auto.AutoConfig.from_pretrained(folder / CONFIG, local_files_only=True, trust_remote_code=False)
    return _with_head(auto.AutoModel.from_config(config, attn_implementation="eager"), architecture)


def describe(folder: Path, network: Network) -> None:
    """Write the transformer's configuration without the path of its folder."""
    encoder: Any = network.encoder
    document = encoder.config.to_dict()
    for name in ("_name_or_path", "_attn_implementation_autoset"):
        document.pop(name, None)
    (folder / CONFIG).write_text(json.dumps(document, indent=2, sort_keys=True, default=str) + "\n")


def learn_only(network: Network, part: str, layers: int) -> None:
    """Freeze all but a part of the network: head, last (the last layers of the transformer and the head) or all."""
    if part == "all":
        return
    for parameter in network.encoder.parameters():
        parameter.requires_grad = False
    if part == "last":
        stacks = [module for module in network.encoder.modules() if isinstance(module, nn.ModuleList)]
        if not stacks:
            raise InputError("this transformer has no list of layers; set params.fine_tune to head or all")
        longest: list[nn.Module] = max((list(stack) for stack in stacks), key=len)
        for layer in longest[-layers:]:
            for parameter in layer.parameters():
                parameter.requires_grad = True


class Texts:
    """Rows of token ids; a batch has the width of its longest text.

    Args:
        X: Token ids, [N, L] float32, padded at the end.
    """

    def __init__(self, X: np.ndarray, padding: int) -> None:
        self.ids = torch.from_numpy(X.astype(np.int64))
        columns = torch.arange(1, X.shape[1] + 1)
        self.lengths = (
            ((self.ids != padding) * columns).amax(dim=1).clamp(min=1) if len(X) else torch.zeros(0, dtype=torch.int64)
        )

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int, shuffle: torch.Generator | None) -> Iterator[torch.Tensor]:
        if not len(self):
            return
        if shuffle is None:
            yield from torch.argsort(self.lengths, stable=True).split(size)
            return
        for drawn in torch.randperm(len(self), generator=shuffle).split(size * _SORTED_BATCHES):
            parts = drawn[torch.argsort(self.lengths[drawn], stable=True)].split(size)
            for number in torch.randperm(len(parts), generator=shuffle).tolist():
                yield parts[number]

    def take(self, chosen: torch.Tensor, shuffle: torch.Generator | None) -> torch.Tensor:
        return self.ids[chosen, : int(self.lengths[chosen].max())]


class Vectors:
    """Rows as vectors of a frozen transformer, to train only its head.

    Args:
        vectors: [N, width] float32.
    """

    def __init__(self, vectors: torch.Tensor) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def batches(self, size: int, shuffle: torch.Generator | None) -> Iterator[torch.Tensor]:
        rows = len(self)
        order = torch.arange(rows) if shuffle is None else torch.randperm(rows, generator=shuffle)
        yield from order.split(size) if rows else ()

    def take(self, chosen: torch.Tensor, shuffle: torch.Generator | None) -> torch.Tensor:
        return self.vectors[chosen]


def _with_head(encoder: Any, architecture: Architecture) -> Network:
    width = getattr(encoder.config, "hidden_size", None) or getattr(encoder.config, "dim", None)
    if not isinstance(width, int):
        raise InputError("the transformer's configuration names no hidden_size; it cannot get a head")
    _drop_pooler(encoder)
    return Network(encoder, architecture, width)


def _drop_pooler(encoder: Any) -> None:
    """Remove BERT's pooling layer, which is not used and would be stored and exported."""
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = None


def _transformers() -> Any:
    prepare_torchvision()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise InputError(f"framework 'transformers' needs the package '{error.name}', which is not installed") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

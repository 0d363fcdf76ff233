"""Text classifiers from a pretrained transformer in a local folder. No code from that folder is run, no file is a pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import ModelProto

from stagewright.components.runtime import logs
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.language import base_model
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.signature import TOKENS_AT_ONCE
from stagewright.components.training.frameworks import _deep, _devices
from stagewright.components.training.frameworks._base import Fit, Plan, Split, TrainingData, damaged
from stagewright.components.training.frameworks._language import (
    Architecture,
    Network,
    Texts,
    Vectors,
    describe,
    empty,
    learn_only,
    pretrained,
)
from stagewright.components.training.parameters import Parameter, resolve

if TYPE_CHECKING:
    from stagewright.components.runtime.feature_graph import Feature

CLIP = 1.0
# Defaults that depend on what is learned: a head alone takes large steps and many epochs, a whole network small ones and few.
BY_PART = {
    "head": {"learning_rate": 1e-2, "max_epochs": 60, "batch_size": 64},
    "last": {"learning_rate": 2e-4, "max_epochs": 6, "batch_size": 32},
    "all": {"learning_rate": 5e-5, "max_epochs": 4, "batch_size": 32},
}
PARAMETERS = _deep.PARAMETERS | {
    "model": Parameter("", str),
    "fine_tune": Parameter("all", str, choices=("all", "last", "head")),
    "last_layers": Parameter(1, int, 1, 1000),
    "max_tokens": Parameter(None, int, 4, 8192, optional=True),
    "pooling": Parameter("auto", str, choices=("auto", "mean", "cls", "max")),
    "learning_rate": Parameter(None, float, 0, above=True, optional=True),
    "batch_size": Parameter(None, int, 2, optional=True),
    "max_epochs": Parameter(None, int, 1, 100_000, optional=True),
    "patience": Parameter(3, int, 1, optional=True),
}


def plan(params: Mapping[str, Any]) -> Plan:
    """The method with all parameters resolved."""
    resolved = resolve("transformers", params, PARAMETERS)
    part = BY_PART[resolved["fine_tune"]]
    chosen = {name: part[name] if value is None and name in part else value for name, value in resolved.items()}
    return Plan(f"fine_tune_{resolved['fine_tune']}", chosen)


def train(data: TrainingData, plan: Plan, *, seed: int) -> Fit:
    """Train the head, the last layers or all layers; the epoch with the lowest validation loss is kept."""
    params, ids = plan.params, _token_ids(data.features)
    if not data.classes:
        raise InputError("transformers trains classifiers, but the task is regression; give a target with classes")
    device = _devices.device(params["device"])
    with _devices.reproducible(seed, params["threads"], device, strict=False), base_model(params["model"]) as base:
        pooling = base.pooling if params["pooling"] == "auto" else params["pooling"]
        width, padding = (ids.shape or (1,))[0], ids.padding or 0
        network = pretrained(base, Architecture(data.classes, width, padding, pooling, params["dropout"]))
        logs.event("base_model_read", model=params["model"], parameters=sum(p.numel() for p in network.parameters()))
        learn_only(network, params["fine_tune"], params["last_layers"])
        if params["fine_tune"] == "head":
            history, best = _learn_head(network, data, params, seed)
        else:
            rows = [Texts(split.X, padding) for split in (data.train, data.validation)]
            history, best = _deep.ClassifierTrainer(network, data, params, clip=CLIP).run(
                rows[0], rows[1], seed, "transformers"
            )
    return Fit(LanguageEstimator(network), history, best)


def load(folder: Path) -> "LanguageEstimator":
    """The estimator in a folder.

    Raises:
        InputError: If a file is missing or damaged.
    """
    try:
        network = empty(folder, Architecture.from_dict(read_json((folder / _deep.ARCHITECTURE).read_text())))
        network.load_state_dict(_deep.weights(folder / _deep.WEIGHTS))
    except Exception as error:  # noqa: BLE001  a damaged file can raise any error
        raise damaged(folder, error) from None
    return LanguageEstimator(network)


class LanguageEstimator:
    """A trained network, on the CPU."""

    def __init__(self, network: Network) -> None:
        self.network = network.cpu().eval()

    def predict(self, X: np.ndarray) -> np.ndarray:
        architecture = self.network.architecture
        rows = Texts(X, architecture.padding)
        return _deep.probabilities(self.network, rows, _batch_rows(architecture), architecture.classes)

    def save(self, folder: Path) -> None:
        _deep.save(folder, self.network, self.network.architecture.to_dict())
        describe(folder, self.network)

    def importances(self) -> np.ndarray | None:
        return None

    def to_onnx(self) -> ModelProto:
        # Two rows of four ids, so that the exporter takes neither size for a constant.
        example = torch.full((2, 4), float(self.network.architecture.padding + 1))
        return _deep.exported(self.network, example, columns=torch.export.Dim("L", max=self.network.architecture.max_tokens))


def _learn_head(
    network: Network, data: TrainingData, params: Mapping[str, Any], seed: int
) -> tuple[dict[str, list[float]], int]:
    """Compute each text's vector once with the frozen transformer, then train the head on the vectors."""
    train_rows, validation_rows = (_vectors(network, split, params) for split in (data.train, data.validation))
    learned = torch.nn.Sequential(network.dropout, network.head)
    return _deep.ClassifierTrainer(learned, data, params).run(train_rows, validation_rows, seed, "transformers")


def _vectors(network: Network, split: Split, params: Mapping[str, Any]) -> Vectors:
    device = _devices.device(params["device"])
    network.to(device).eval()
    rows = Texts(split.X, network.architecture.padding)
    vectors = torch.zeros(len(rows), network.head.in_features)
    with progress("reading texts", total=len(rows), unit="rows") as advance, torch.no_grad():
        for chosen in rows.batches(_batch_rows(network.architecture), None):
            vectors[chosen] = network.embed(rows.take(chosen, None).to(device)).float().cpu()
            advance(len(chosen))
    network.cpu()
    return Vectors(vectors)


def _batch_rows(architecture: Architecture) -> int:
    return max(1, TOKENS_AT_ONCE // architecture.max_tokens)


def _token_ids(features: "Any") -> "Feature":
    found: list[Feature] = [feature for feature in features if feature.kind == "token_ids"]
    if len(found) != 1 or len(features) != 1:
        raise InputError("transformers reads one tokenized text; fit the features with framework transformers")
    return found[0]

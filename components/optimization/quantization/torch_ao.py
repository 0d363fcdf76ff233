"""torch's own quantization, measured beside ONNX Runtime's: a reference, since what it makes runs in torch only."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stagewright.components.optimization.quantization.inference import Feeds
from stagewright.components.optimization.quantization.suppress_output import suppress_output
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import OUTPUT
from stagewright.components.runtime.model import METADATA_FILE, Model, Predictions, answers

CALIBRATED_ROWS = 256


class TorchReference:
    """A model whose torch network was quantized by torch.ao.

    Attributes:
        size: Bytes of the network's state.
    """

    def __init__(self, model: Model, network: Any) -> None:
        self._model = model
        self._estimator = copy.copy(model.estimator)
        self._estimator.network = network  # type: ignore[attr-defined]
        self.size = _size(network)

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """The estimator's raw answer for rows as the graph is fed with them."""
        with suppress_output():
            return self._estimator.predict(self._model.features.session.run([OUTPUT], dict(feeds))[0])

    def predictions(self, parts: Sequence[Feeds]) -> Predictions:
        """What it answers for rows."""
        known = self._model.metadata
        return answers(np.concatenate([self(part) for part in parts]), known.classes, known.threshold)


def network_of(folder: Path) -> Model | None:
    """The model, if its estimator is a torch network and torch is installed here."""
    if not (folder / METADATA_FILE).is_file():
        return None
    with suppress(InputError, ImportError):
        import torch

        model = Model.load(folder)
        if isinstance(getattr(model.estimator, "network", None), torch.nn.Module):
            return model
    return None


def make(name: str, model: Model, parts: Sequence[Feeds]) -> TorchReference:
    """Quantize a model's network.

    Args:
        name: torch-dynamic or torch-static.
        parts: Rows to calibrate on.

    Raises:
        ValueError: If torch cannot.
    """
    matrix = np.concatenate([model.features.session.run([OUTPUT], part)[0] for part in _equally_wide(model, parts)])
    with suppress_output():
        try:
            return TorchReference(model, _MAKERS[name](model, matrix[:CALIBRATED_ROWS]))
        except Exception as error:  # noqa: BLE001  tracing a network fails in whatever way its code leads to
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise ValueError(f"torch cannot quantize this network: {reason}") from None


def _dynamic(model: Model, _: np.ndarray) -> Any:
    import torch

    network = copy.deepcopy(model.estimator.network)  # type: ignore[attr-defined]
    return torch.ao.quantization.quantize_dynamic(network.eval(), {torch.nn.Linear}, dtype=torch.qint8)


def _static(model: Model, matrix: np.ndarray) -> Any:
    """The layers alone are traced and quantized; what the network does around them stays Python."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    observed = copy.copy(model.estimator)
    network = copy.deepcopy(model.estimator.network).eval()  # type: ignore[attr-defined]
    if not hasattr(network, "body"):
        raise ValueError("its layers do not stand in one module, 'body'")
    network.body = prepare_fx(network.body, get_default_qconfig_mapping("x86"), (None,))
    observed.network = network  # type: ignore[attr-defined]
    observed.predict(matrix)
    network.body = convert_fx(network.body)
    return network


def _equally_wide(model: Model, parts: Sequence[Feeds]) -> Sequence[Feeds]:
    """Parts whose rows have the first one's width: texts of another length cannot stand in one matrix with them."""
    widths = [model.features.session.run([OUTPUT], part)[0].shape[1] for part in parts]
    return [part for part, width in zip(parts, widths, strict=True) if width == widths[0]]


def _size(network: Any) -> int:
    """Bytes of all weights; quantized layers keep theirs packed and give them by a method."""
    total = 0
    for layer in network.modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        packed = [given() for given in (getattr(layer, "weight", None), getattr(layer, "bias", None)) if callable(given)]
        total += sum(tensor.numel() * tensor.element_size() for tensor in [*own, *packed] if tensor is not None)
    return total


_MAKERS: dict[str, Callable[[Model, np.ndarray], Any]] = {"torch-dynamic": _dynamic, "torch-static": _static}

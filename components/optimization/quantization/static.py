"""Static int8: activations too have 8 bits, in ranges that were found beforehand on rows of real data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from stagewright.components.optimization.quantization.graph import layers
from stagewright.components.optimization.quantization.index import index_nodes
from stagewright.components.runtime.onnx_session import open_session

Feeds = Mapping[str, np.ndarray]
# Operations that carry 8-bit numbers between layers. A softmax or a sigmoid at the end would leave 256 probabilities, and sums
# of squares or exponents lose more than they win.
OPERATORS = (
    "Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool",
    "GlobalAveragePool", "ReduceMean", "Add", "Mul", "Concat", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Pad",
    "Resize", "Split", "Slice",
)  # fmt: skip
SMALL_LAST_LAYER = 0.05  # of all weights: a last layer below this stays float, it costs little and decides much


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[Feeds]) -> None:
        self._next: Iterator[Feeds] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        found = next(self._next, None)
        return None if found is None else dict(found)


def static(
    body: onnx.ModelProto, calibration: Sequence[Feeds], folder: Path, *, calibrate: str, reduced: bool = False
) -> onnx.ModelProto:
    """Quantize weights per channel and activations per tensor, as pairs of QuantizeLinear and DequantizeLinear.

    Args:
        calibration: What the estimator is fed with, in batches.
        folder: For files on the way.
        calibrate: How a range is found: MinMax, Entropy or Percentile.
        reduced: Give weights 7 bits.
    """
    given, ready, made = (folder / f"{name}.onnx" for name in ("given", "ready", "made"))
    onnx.save(body, str(given))
    _folded(given, ready)
    quantize_static(
        ready, made, _Rows(calibration), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(OPERATORS),
        per_channel=True, reduce_range=reduced, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        nodes_to_exclude=_left_float(onnx.load(str(ready))), calibrate_method=CalibrationMethod[calibrate],
        extra_options=_options(calibrate),
    )  # fmt: skip
    return onnx.load(str(made))


def _folded(given: Path, ready: Path) -> None:
    """Fold batch normalization into convolutions and constants into weights, and note the shape of every tensor."""
    open_session(given, optimization="basic", optimized=ready)
    onnx.shape_inference.infer_shapes_path(str(ready), str(ready))


def _options(calibrate: str) -> dict[str, Any]:
    return {"CalibPercentile": 99.99} if calibrate == "Percentile" else {}


def _left_float(body: onnx.ModelProto) -> list[str]:
    """The last layer if it is small, and what works on whole numbers that were made of floats, such as tokens."""
    found = layers(body)
    total = sum(layer.weights for layer in found)
    last = [found[-1].name] if len(found) > 1 and found[-1].weights < SMALL_LAST_LAYER * total else []
    return [*last, *(node.name for node in index_nodes(body))]

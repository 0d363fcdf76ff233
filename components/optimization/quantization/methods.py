"""Ways to make an estimator's graph smaller and faster, each a function from one graph to another.

Every graph that comes out runs in ONNX Runtime, as the one that went in did. Which ways are tried follows from what the graph
is made of; see docs/quantization.md for what was measured.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from stagewright.components.optimization.quantization import fp16, static
from stagewright.components.optimization.quantization.graph import Layer, layers
from stagewright.components.optimization.quantization.suppress_output import suppress_output
from stagewright.components.runtime.errors import one_of

Feeds = Mapping[str, np.ndarray]
CPU, GPU, REFERENCE = "cpu-int8", "gpu-fp16", ""
DYNAMIC_OPERATORS = ("MatMul", "Gemm", "Gather", "LSTM", "Attention", "EmbedLayerNormalization")
BLOCK = 32  # weights that share a scale, for weight-only methods


@dataclass(frozen=True, slots=True)
class Method:
    """A way to quantize.

    Attributes:
        variant: The variant that it makes: cpu-int8 or gpu-fp16; nothing for a way that cannot be served.
        label: What it does, for people.
        make: From the estimator's graph and what it is fed with while calibrating to the new graph; None for one that has no
            graph in ONNX.
    """

    name: str
    variant: str
    label: str
    make: Callable[[onnx.ModelProto, Sequence[Feeds]], onnx.ModelProto] | None


def names_for(body: onnx.ModelProto, *, saturates: bool) -> list[str]:
    """The ways worth trying for a graph, by what it is made of.

    Args:
        saturates: Whether this CPU adds products of 8-bit numbers in 16 bits, so that 7-bit weights may be better.
    """
    found = layers(body)
    operators = {layer.operator for layer in found}
    if "Conv" in operators or "ConvTranspose" in operators:
        chosen = ["static-minmax", "static-entropy", "static-percentile"]
    elif _is_transformer(body, found):
        chosen = ["dynamic", "dynamic-per-channel", "dynamic-fused", "weights-8", "weights-4"]
    else:
        chosen = ["dynamic", "dynamic-per-channel", "static-minmax", "weights-8"]
    if saturates:
        chosen += ["static-reduced" if name == "static-minmax" else "dynamic-reduced" for name in chosen[:1]]
    return [*chosen, "fp16"]


def find(name: str) -> Method:
    """The way of this name.

    Raises:
        BadParameter: If there is none.
    """
    return METHODS[one_of("methods", name, METHODS)]


def _dynamic(
    body: onnx.ModelProto, _: Sequence[Feeds], *, per_channel: bool = False, reduced: bool = False, fused: bool = False
) -> onnx.ModelProto:
    """Weights in 8 bits; activations are measured and quantized while the model runs, so nothing needs calibration.

    Convolutions are left alone: ONNX Runtime's integer convolution with measured activations is slower than the float one.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    given = _fused(body) if fused else _copied(body)
    del given.graph.value_info[:]  # shapes of weights that the quantizer transposes
    with _scratch() as folder:
        quantize_dynamic(
            given, folder / "made.onnx", op_types_to_quantize=list(DYNAMIC_OPERATORS), per_channel=per_channel,
            reduce_range=reduced, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )  # fmt: skip
        return onnx.load(str(folder / "made.onnx"))


def _static(body: onnx.ModelProto, calibration: Sequence[Feeds], **options: Any) -> onnx.ModelProto:
    with _scratch() as folder:
        return static.static(body, calibration, folder, **options)


def _weights(body: onnx.ModelProto, _: Sequence[Feeds], *, bits: int) -> onnx.ModelProto:
    """Weights of large products in blocks with a scale each; activations stay float. A table of vectors takes 4 bits."""
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    given = ONNXModel(_copied(body))
    given.replace_gemm_with_matmul()
    operators = ("MatMul", "Gather") if bits == 4 else ("MatMul",)
    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK, is_symmetric=True, accuracy_level=4, bits=bits, op_types_to_quantize=operators
    )
    quantizer = MatMulNBitsQuantizer(given.model, algo_config=config)
    with suppress_output():
        quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    # The quantizer raises the version for 4-bit numbers in standard operations; what it makes here are its own.
    del made.opset_import[:]
    made.opset_import.extend([*body.opset_import, helper.make_opsetid("com.microsoft", 1)])
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise ValueError("no product of matrices has constant weights")
    return made


def _half(body: onnx.ModelProto, _: Sequence[Feeds]) -> onnx.ModelProto:
    return fp16.to_float16(_copied(body))


def _fused(body: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a transformer's blocks as single operations, where ONNX Runtime's optimizer understands them.

    Raises:
        ValueError: If it understands none.
    """
    from onnxruntime.transformers.optimizer import optimize_model

    with _scratch() as folder:
        onnx.save(body, str(folder / "given.onnx"))
        optimized = optimize_model(str(folder / "given.onnx"), model_type="bert", num_heads=0, hidden_size=0, opt_level=0)
    if not sum(optimized.get_fused_operator_statistics().values()):
        raise ValueError("the optimizer for transformers finds nothing to fuse")
    made: onnx.ModelProto = optimized.model
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def _is_transformer(body: onnx.ModelProto, found: Sequence[Layer]) -> bool:
    """Products of activations with each other, as attention has, beside products with weights."""
    weighted = {layer.name for layer in found}
    products = [node.name for node in body.graph.node if node.op_type == "MatMul"]
    return any(name in weighted for name in products) and any(name not in weighted for name in products)


def _copied(body: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(body)
    return copy


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quantize-") as folder, suppress_output():
        yield Path(folder)


def _method(name: str, variant: str, label: str, make: Callable[..., onnx.ModelProto] | None, **options: Any) -> Method:
    if make is None:
        return Method(name, variant, label, None)
    function = make
    return Method(name, variant, label, lambda body, calibration: function(body, calibration, **options))


METHODS = {
    method.name: method
    for method in (
        _method("dynamic", CPU, "int8 weights, activations scaled as they come", _dynamic),
        _method("dynamic-per-channel", CPU, "int8 weights with a scale for each column", _dynamic, per_channel=True),
        _method("dynamic-fused", CPU, "int8 weights after fusing a transformer's blocks", _dynamic, fused=True),
        _method("dynamic-reduced", CPU, "7-bit weights, for CPUs without VNNI", _dynamic, reduced=True),
        _method("static-minmax", CPU, "int8 throughout, ranges from the extremes", _static, calibrate="MinMax"),
        _method("static-entropy", CPU, "int8 throughout, ranges that keep the most information", _static, calibrate="Entropy"),
        _method("static-percentile", CPU, "int8 throughout, ranges without outliers", _static, calibrate="Percentile"),
        _method("static-reduced", CPU, "7-bit weights, int8 activations", _static, calibrate="MinMax", reduced=True),
        _method("weights-8", CPU, "8-bit weights of large products, float activations", _weights, bits=8),
        _method("weights-4", CPU, "4-bit weights of large products, float activations", _weights, bits=4),
        _method("weights-2", CPU, "2-bit weights of large products, float activations", _weights, bits=2),
        _method("fp16", GPU, "float16 throughout, for GPUs", _half),
        _method("torch-dynamic", REFERENCE, "torch.ao: int8 weights in torch itself", None),
        _method("torch-static", REFERENCE, "torch.ao: int8 throughout in torch itself", None),
    )
}  # fmt: skip

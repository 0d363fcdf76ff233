"""Sessions of ONNX Runtime as a model's settings want them."""

import onnxruntime as ort

from stagewright.components.runtime.serving_settings import ServingSettings

_LEVELS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, "layout": ort.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}  # fmt: skip


def open_session(graph: bytes, settings: ServingSettings) -> ort.InferenceSession:
    """A session for a graph.

    Raises:
        Exception: If ONNX Runtime refuses the graph; its errors share no base class.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads or 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = _LEVELS[settings.graph_optimization]
    options.log_severity_level = 4  # what matters reaches the caller as an error
    # A spinning worker would take the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=_providers())


def _providers() -> list[str]:
    """CUDA first where ONNX Runtime is its CUDA build, then the CPU for what CUDA has no kernel for, or if there is no GPU."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return ["CPUExecutionProvider"]
    ort.preload_dlls()  # CUDA's libraries are packages beside it, where the linker does not look
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]

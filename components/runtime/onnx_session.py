"""The one place where sessions of ONNX Runtime are made."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

CPU = "CPUExecutionProvider"
_LEVELS = {
    "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def open_session(
    graph: bytes | Path,
    *,
    threads: int = 1,
    optimization: str = "all",
    providers: Sequence[str] = (CPU,),
    profile: str = "",
    optimized: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session that computes one operation at a time and logs nothing: what matters reaches the caller as an error.

    Args:
        graph: An ONNX model, or the file that holds one.
        threads: Threads inside one operation; 0 for every core.
        optimization: Level of graph optimizations: disabled, basic, extended, layout or all.
        providers: Execution providers, the preferred one first.
        profile: Prefix of the file for the duration of each operation; empty to measure none.
        optimized: File for the optimized graph.

    Raises:
        Exception: If ONNX Runtime refuses the graph; its errors share no base class.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = _LEVELS[optimization]
    options.log_severity_level = 4
    # A spinning thread would take the core that the caller's own work needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(
        str(graph) if isinstance(graph, Path) else graph, options, providers=list(dict.fromkeys([*providers, CPU]))
    )

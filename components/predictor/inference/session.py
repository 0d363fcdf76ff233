"""Sessions of ONNX Runtime, for the predictor and for measurements."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from stagewright.components.predictor.trees.native import LEAST_ROWS, has_trees, native_trees
from stagewright.components.runtime import onnx_session
from stagewright.components.runtime.serving_settings import NATIVE, ServingSettings


class Session:
    """A graph in ONNX Runtime. A compiled kernel computes its trees, except in the smallest batches.

    A row's output has the same bytes in any batch. With several threads, ONNX Runtime sums trees in another order for one row
    than for several. So a graph with trees gets one thread, and the kernel sums in that thread's order.

    Args:
        graph: An ONNX model.
        settings: Serving settings.

    Attributes:
        runtime: ONNX Runtime's session for the whole graph.
        trees: The same graph with its trees in the kernel; None if ONNX Runtime computes everything.

    Raises:
        Exception: If ONNX Runtime refuses the graph; its errors share no base class.
    """

    def __init__(self, graph: bytes, settings: ServingSettings) -> None:
        if has_trees(graph):
            settings = replace(settings, threads=1)
        self.runtime = open_session(graph, settings)
        native = settings.tree_engine == NATIVE
        self.trees = native_trees(graph, lambda part: open_session(part, settings)) if native else None
        self._names = [output.name for output in self.runtime.get_outputs()]

    def rehearse(self, names: Sequence[str], feeds: Mapping[str, np.ndarray], seconds: float) -> list[np.ndarray]:
        """Outputs of an untrusted graph for some rows [N, ...]; an inference that takes too long is stopped.

        Raises:
            TimeoutError: If the inference took longer than `seconds`.
            Exception: If the graph cannot be computed; ONNX Runtime's errors share no base class.
        """
        options = ort.RunOptions()
        late = threading.Event()

        def stop() -> None:
            late.set()
            options.terminate = True

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            answers: list[np.ndarray] = self.runtime.run(names, feeds, options)
        except Exception:
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        return answers

    def prove(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Keep the kernel only if its outputs for these inputs [N, ...] equal those of the whole graph."""
        if self.trees is None:
            return
        try:
            answers = self.trees.run(self._names, feeds), self.runtime.run(self._names, feeds)
            same = all(_equal(*pair) for pair in zip(*answers, strict=True))
        except Exception:  # noqa: BLE001 - after any failure, the whole graph computes
            same = False
        if not same:
            self.trees = None

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs of these names, or all, for inputs [N, ...].

        Raises:
            Exception: If the graph cannot be computed; ONNX Runtime's errors share no base class."""
        if self.trees is not None and len(next(iter(feeds.values()))) >= LEAST_ROWS:
            return self.trees.run(names or self._names, feeds)
        answers: list[np.ndarray] = self.runtime.run(names, feeds)
        return answers


def _equal(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool(np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"))


def open_session(graph: bytes, settings: ServingSettings) -> ort.InferenceSession:
    """Open ONNX Runtime's session for a graph, on CUDA if available, otherwise on the CPU.

    Raises:
        Exception: If ONNX Runtime refuses the graph; its errors share no base class.
    """
    return onnx_session.open_session(
        graph, threads=settings.threads or 1, optimization=settings.graph_optimization, providers=_providers()
    )


def _providers() -> list[str]:
    """CUDA first if ONNX Runtime is the CUDA build, then the CPU for operators without a CUDA kernel, or without a GPU."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return ["CPUExecutionProvider"]
    ort.preload_dlls()  # CUDA's libraries are Python packages, outside the linker's search path
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]

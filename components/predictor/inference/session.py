"""A graph as the predictor computes it; what measures models computes it so, too."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from stagewright.components.predictor.trees.native import LEAST_ROWS, has_trees, native_trees
from stagewright.components.runtime import onnx_session
from stagewright.components.runtime.serving_settings import NATIVE, ServingSettings


class Session:
    """A graph in ONNX Runtime, whose trees, where it has some, have a kernel of their own for all but the smallest batches.

    A row's answer is the same bytes in any company. ONNX Runtime would add trees up in another order for one row than
    for several if it had several threads, so a graph with trees gets one; the kernel adds them in the order of one thread.

    Args:
        graph: An ONNX model.
        settings: How to serve it.

    Attributes:
        runtime: ONNX Runtime's session of the whole graph.
        trees: The same graph with its trees in the kernel; None where ONNX Runtime evaluates everything.

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
        """The outputs for some rows, of a graph that nobody knows: one that takes too long is stopped.

        Raises:
            TimeoutError: If it was.
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
        """Leave the trees to ONNX Runtime unless the parts together answer these inputs, many rows, as the whole does."""
        if self.trees is None:
            return
        try:
            answers = self.trees.run(self._names, feeds), self.runtime.run(self._names, feeds)
            same = all(_equal(*pair) for pair in zip(*answers, strict=True))
        except Exception:  # noqa: BLE001 - whatever the parts fail with, the whole graph is there
            same = False
        if not same:
            self.trees = None

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of these names, or all of them, for inputs [N, ...]."""
        if self.trees is not None and len(next(iter(feeds.values()))) >= LEAST_ROWS:
            return self.trees.run(names or self._names, feeds)
        answers: list[np.ndarray] = self.runtime.run(names, feeds)
        return answers


def _equal(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool(np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"))


def open_session(graph: bytes, settings: ServingSettings) -> ort.InferenceSession:
    """ONNX Runtime's session of a graph under settings, on what serves best here."""
    return onnx_session.open_session(
        graph, threads=settings.threads or 1, optimization=settings.graph_optimization, providers=_providers()
    )


def _providers() -> list[str]:
    """CUDA first where ONNX Runtime is its CUDA build, then the CPU for what CUDA has no kernel for, or if there is no GPU."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return ["CPUExecutionProvider"]
    ort.preload_dlls()  # CUDA's libraries are packages beside it, where the linker does not look
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]

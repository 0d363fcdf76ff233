"""Evaluation of a graph with trees: ONNX Runtime before the trees, the kernel, ONNX Runtime after them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from stagewright.components.predictor.trees.layout import COLUMNS, Unsupported
from stagewright.components.predictor.wire.column_groups import conversion
from stagewright.components.runtime import logs

if TYPE_CHECKING:
    from stagewright.components.predictor.trees.graph import Cut

LEAST_ROWS = 24  # below, the overhead of three calls exceeds the gain
PROBES = 512
_TREES = b"TreeEnsemble"  # occurs in every graph with trees

Open = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class NativeTrees:
    """A model with its trees in the kernel, for large batches."""

    cut: "Cut"
    forest: Any
    before: Any
    after: Any

    def run(self, names: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs of these names, each [N, ...], for graph inputs [N, ...], as `run` of a session."""
        features = self.before.run(None, self._encoded(feeds))[0] if self.before is not None else feeds[self.cut.given]
        scores = self.forest.predict_scores(features)
        return [scores] if self.after is None else self.after.run(names, {self.cut.scores: scores})

    def _encoded(self, feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Graph inputs of the part before the trees, with encoded text columns as numbers."""
        if conversion is None or not self.cut.encoders:
            return feeds
        encoded = dict(feeds)
        for encoder in self.cut.encoders:
            texts = encoded.pop(encoder.given)
            encoded[encoder.made] = codes = np.empty(texts.shape, dtype=np.float32)
            conversion.codes(texts, encoder.known, encoder.other, codes)
        return encoded


def available() -> bool:
    """Whether the compiled kernel is installed."""
    return conversion is not None and find_spec("stagewright.components.predictor.trees.kernel") is not None


def has_trees(model: bytes) -> bool:
    """Whether a graph has trees."""
    return _TREES in model


def native_trees(model: bytes, open_session: Open) -> NativeTrees | None:
    """The model with its trees in the kernel; None without supported trees or without the kernel.

    The kernel's outputs are compared with ONNX Runtime's, byte for byte, on rows near the trees' thresholds. If they differ,
    ONNX Runtime computes the model.

    Args:
        model: The graph.
        open_session: Opens a graph with the options of the model's session.
    """
    if not available() or not has_trees(model):
        return None
    # Imported here: only models with trees need protobuf and the kernel.
    from stagewright.components.predictor.trees import graph
    from stagewright.components.predictor.trees.forest import Forest

    try:
        cut = graph.cut(model)
        return None if cut is None else _proved(cut, Forest.from_node(cut.node), open_session)
    except Unsupported:
        return None
    except Exception as error:  # noqa: BLE001 - after any failure, ONNX Runtime computes the whole graph
        logs.event("trees_left_to_onnxruntime", reason=f"{type(error).__name__} {error}"[:300])
        return None


def _proved(cut: "Cut", forest: Any, open_session: Open) -> NativeTrees | None:
    """The combined parts; None if the kernel's outputs differ from ONNX Runtime's."""
    probes = _probes(forest)
    expected = open_session(cut.trees).run(None, {cut.given: probes})[0].reshape(PROBES, -1)
    if forest.predict_scores(probes).tobytes() != np.ascontiguousarray(expected).tobytes():
        return None  # the batch size selects the engine, so both must give the same output
    before, after = (open_session(part) if part else None for part in (cut.before, cut.after))
    return NativeTrees(cut, forest, before, after)


def _probes(forest: Any) -> np.ndarray:
    """Rows [PROBES, F] with values at, next to and between thresholds; every second row has missing values."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(PROBES, forest.columns)).astype(np.float32)
    columns = forest.nodes["word"] & (COLUMNS - 1)
    inner = np.isfinite(forest.nodes["threshold"])
    for column in range(forest.columns):
        own = np.unique(forest.nodes["threshold"][inner & (columns == column)])
        if len(own):
            near = np.concatenate([own, np.nextafter(own, np.float32(np.inf)), np.nextafter(own, np.float32(-np.inf))])
            rows[:, column] = random.choice(near, size=PROBES)
    rows[::2][random.random((PROBES // 2, forest.columns)) < 0.2] = np.nan
    return rows

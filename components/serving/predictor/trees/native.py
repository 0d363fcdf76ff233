"""A graph with trees, answered by three: ONNX Runtime before them, the kernel, ONNX Runtime after them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from stagewright.components.serving.predictor.column_groups import conversion
from stagewright.components.serving.predictor.trees import graph

LEAST_ROWS = 24  # below, three calls cost more than faster trees give back
PROBES = 512
_TOLERANCE = 1e-6

Open = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class NativeTrees:
    """What answers large batches of a model in ONNX Runtime's place."""

    cut: graph.Cut
    forest: Any
    before: Any
    after: Any

    def run(self, names: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The graph's outputs of these names, as a session's `run`."""
        features = self.before.run(None, self._encoded(feeds))[0] if self.before is not None else feeds[self.cut.given]
        scores = self.forest.answer(features)
        return [scores] if self.after is None else self.after.run(names, {self.cut.scores: scores})

    def _encoded(self, feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The inputs of what is before the trees: numbers where the graph would look its texts up itself."""
        if conversion is None or not self.cut.encoders:
            return feeds
        encoded = dict(feeds)
        for encoder in self.cut.encoders:
            texts = encoded.pop(encoder.given)
            encoded[encoder.made] = codes = np.empty(texts.shape, dtype=np.float32)
            conversion.codes(texts, encoder.known, encoder.other, codes)
        return encoded


def available() -> bool:
    """Whether the kernel was compiled for this machine."""
    return conversion is not None and find_spec("stagewright.components.serving.predictor.trees.kernel") is not None


def native_trees(model: bytes, open_session: Open) -> NativeTrees | None:
    """The same model with its trees in the kernel; None where it has no such trees, or there is no kernel.

    What the kernel answers is compared with ONNX Runtime on rows around the trees' own thresholds; a model for which they
    differ stays with ONNX Runtime.

    Args:
        model: The graph.
        open_session: Opens a graph with the options of the model's session.
    """
    if not available():
        return None
    cut = graph.cut(model)
    if cut is None:
        return None
    from stagewright.components.serving.predictor.trees.forest import Forest
    from stagewright.components.serving.predictor.trees.layout import Unsupported

    try:
        forest = Forest.from_node(cut.node)
    except Unsupported:
        return None
    probes = _probes(forest)
    expected = open_session(cut.trees).run(None, {cut.given: probes})[0].reshape(PROBES, -1)
    if not np.allclose(forest.answer(probes), expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        return None
    before, after = (open_session(part) if part else None for part in (cut.before, cut.after))
    return NativeTrees(cut, forest, before, after)


def _probes(forest: Any) -> np.ndarray:
    """Rows [PROBES, F] whose values lie on, just beside and between thresholds; in every other row some are missing."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(PROBES, forest.columns)).astype(np.float32)
    columns = forest.nodes["word"] & 2047
    inner = np.isfinite(forest.nodes["threshold"])
    for column in range(forest.columns):
        own = np.unique(forest.nodes["threshold"][inner & (columns == column)])
        if len(own):
            near = np.concatenate([own, np.nextafter(own, np.float32(np.inf)), np.nextafter(own, np.float32(-np.inf))])
            rows[:, column] = random.choice(near, size=PROBES)
    rows[::2][random.random((PROBES // 2, forest.columns)) < 0.2] = np.nan
    return rows

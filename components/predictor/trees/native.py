"""A graph with trees, answered by three: ONNX Runtime before them, the kernel, ONNX Runtime after them."""

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

LEAST_ROWS = 24  # below, three calls cost more than faster trees give back
PROBES = 512
_TREES = b"TreeEnsemble"  # what every graph with trees has somewhere

Open = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class NativeTrees:
    """What answers large batches of a model in ONNX Runtime's place."""

    cut: "Cut"
    forest: Any
    before: Any
    after: Any

    def run(self, names: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The graph's outputs of these names, as a session's `run`."""
        features = self.before.run(None, self._encoded(feeds))[0] if self.before is not None else feeds[self.cut.given]
        scores = self.forest.predict_scores(features)
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
    return conversion is not None and find_spec("stagewright.components.predictor.trees.kernel") is not None


def has_trees(model: bytes) -> bool:
    """Whether a graph has trees."""
    return _TREES in model


def native_trees(model: bytes, open_session: Open) -> NativeTrees | None:
    """The same model with its trees in the kernel; None where it has no such trees, or there is no kernel.

    What the kernel answers is compared with ONNX Runtime, byte for byte, on rows around the trees' own thresholds; a model for
    which they differ stays with ONNX Runtime.

    Args:
        model: The graph.
        open_session: Opens a graph with the options of the model's session.
    """
    if not available() or not has_trees(model):
        return None
    # Here, not above: protobuf and the kernel are only for those who have trees.
    from stagewright.components.predictor.trees import graph
    from stagewright.components.predictor.trees.forest import Forest

    try:
        cut = graph.cut(model)
        return None if cut is None else _proved(cut, Forest.from_node(cut.node), open_session)
    except Unsupported:
        return None
    except Exception as error:  # noqa: BLE001 - whatever a part fails with, the whole graph is there
        logs.event("trees_left_to_onnxruntime", reason=f"{type(error).__name__} {error}"[:300])
        return None


def _proved(cut: "Cut", forest: Any, open_session: Open) -> NativeTrees | None:
    """The parts put together; None if the kernel answers otherwise than ONNX Runtime."""
    probes = _probes(forest)
    expected = open_session(cut.trees).run(None, {cut.given: probes})[0].reshape(PROBES, -1)
    if forest.predict_scores(probes).tobytes() != np.ascontiguousarray(expected).tobytes():
        return None  # which engine answers depends on the size of a batch, and the answer must not
    before, after = (open_session(part) if part else None for part in (cut.before, cut.after))
    return NativeTrees(cut, forest, before, after)


def _probes(forest: Any) -> np.ndarray:
    """Rows [PROBES, F] whose values lie on, just beside and between thresholds; in every other row some are missing."""
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

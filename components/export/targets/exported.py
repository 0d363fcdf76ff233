"""An exported model as an exporter reads it: its graph, its signature and the files beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import BASELINE, GRAPH
from stagewright.components.runtime.model import GRAPH_THRESHOLD, SERVING
from stagewright.components.runtime.positive import THRESHOLD
from stagewright.components.runtime.signature import Signature


@dataclass(frozen=True, slots=True)
class Exported:
    """A model with a graph.

    Attributes:
        serving: Its folder `serving/`.
    """

    serving: Path
    signature: Signature

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The exported model in a folder.

        Raises:
            InputError: If it has no graph.
        """
        serving = Path(folder) / SERVING
        if not (serving / GRAPH).is_file():
            raise InputError(f"{folder} has no {SERVING}/{GRAPH}: other servers take a model's graph; export the model first")
        return cls(serving, Signature.read(serving))

    @property
    def graph(self) -> bytes:
        return (self.serving / GRAPH).read_bytes()

    @property
    def baseline(self) -> Path | None:
        """Rows with the model's own answers, if there are any."""
        path = self.serving / BASELINE
        return path if path.is_file() else None

    @property
    def tokenizers(self) -> list[Path]:
        """Files that split texts into tokens."""
        names = sorted({column.tokenizer for column in self.signature.inputs if column.tokenizer is not None})
        return [self.serving / name for name in names]

    def require_threshold(self, server: str) -> None:
        """Stop for a threshold that a server which only runs the graph cannot keep to.

        Raises:
            InputError: If the label is decided elsewhere than in the graph.
        """
        decided_from = _threshold(self.graph)
        if self.signature.task == "binary" and np.float32(self.signature.threshold) != np.float32(decided_from):
            raise InputError(
                f"the model answers its second class from a probability of {self.signature.threshold:g}, and {server} runs the "
                f"graph, which decides at {decided_from:g}; read the probabilities there, or serve it with our predictor"
            )


def _threshold(graph: bytes) -> float:
    """The probability from which a graph answers its second class: the constant that our export writes; one half for others."""
    import onnx

    found = {constant.name: constant for constant in onnx.load_from_string(graph).graph.initializer}
    known = found.get(GRAPH_THRESHOLD)
    return THRESHOLD if known is None else float(onnx.numpy_helper.to_array(known))

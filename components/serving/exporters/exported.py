"""An exported model as an exporter reads it: its graph, its signature and the files beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stagewright.components.runtime.content import BASELINE, GRAPH
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import SERVING
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

    def require_half(self, server: str) -> None:
        """Stop for a threshold that a server which only runs the graph cannot keep to.

        Raises:
            InputError: If the label is decided elsewhere than at one half.
        """
        if self.signature.threshold != 0.5:
            raise InputError(
                f"the model answers its second class from a probability of {self.signature.threshold:g}, and {server} runs the "
                "graph, which decides at 0.5; read the probabilities there, or serve it with our predictor"
            )

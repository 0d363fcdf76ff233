"""Fitted preprocessing: an ONNX graph that turns a table into a matrix, in training and inside the served model alike.

A folder holds `features.onnx` and `features.json` (inputs, outputs, framework, specification, hash). The graph takes one input
of shape [N, 1] for each raw column and answers `features`, float32 of shape [N, F]. An image column's input is [N, C, H, W] and
its features are the flattened pixels; a tokenized text's input is [N, L] and its features are the token ids, filled up to F.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import onnxruntime
import polars as pl

from stagewright.components.runtime import columns
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.onnx_session import open_session
from stagewright.components.runtime.signature import TOKENS_AT_ONCE, VALUES_AT_ONCE, Input, input_from_dict
from stagewright.components.runtime.tokens import Tokens

if TYPE_CHECKING:
    import onnx

GRAPH_FILE, DESCRIPTION_FILE = "features.onnx", "features.json"
OUTPUT = "features"
BATCH_ROWS = 65_536
BATCH_BYTES = 256 * 2**20
_STRING_BYTES = 32  # of one token in the runtime's memory


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix.

    Attributes:
        source: The raw column that it is made of.
        kind: numeric, indicator (1 where the raw value is missing), one_hot, code, tfidf, date_part; or, for more than one
            column of the matrix, pixels, values or token_ids.
        cardinality: For a code: how many codes there are, 0 to cardinality - 1; for token ids: how many ids.
        shape: Of what the columns are flattened from; None for a single column.
        padding: For token ids: the id that fills a row up.
    """

    name: str
    source: str
    kind: str
    cardinality: int | None = None
    shape: tuple[int, ...] | None = None
    padding: int | None = None

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return prod(self.shape or (1,))

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what single columns do not have is left out, so that their hashes stay what they were."""
        several = ("shape", "padding")
        return {name: value for name, value in asdict(self).items() if value is not None or name not in several}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        shape = document.get("shape")
        return cls(**{**document, "shape": None if shape is None else tuple(shape)})


@dataclass(frozen=True)
class FeatureGraph:
    """Fitted preprocessing, ready to run.

    Attributes:
        inputs: Raw columns, in the order of the graph's inputs.
        outputs: Columns of the matrix.
        files: What the inputs need besides, by file name: a tokenizer.
        hash: SHA-256 of the graph and what describes it; equal for equal preprocessing.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[Feature, ...]
    framework: str
    specification: dict[str, Any]
    graph: bytes = field(repr=False)
    dropped: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The preprocessing stored in a folder.

        Raises:
            InputError: If a file is missing, malformed, or the graph is not the one described.
        """
        folder = Path(folder)
        try:
            document = read_json((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
            loaded = cls(
                inputs=tuple(input_from_dict(column) for column in document["inputs"]),
                outputs=tuple(Feature.from_dict(feature) for feature in document["outputs"]),
                framework=document["framework"],
                specification=document["specification"],
                graph=(folder / GRAPH_FILE).read_bytes(),
                dropped=document["dropped"],
                files={name: (folder / Path(name).name).read_bytes() for name in document.get("files", ())},
            )
        except FileNotFoundError as error:
            raise InputError(f"no {Path(str(error.filename)).name} in {folder}: these are not fitted features") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / DESCRIPTION_FILE} does not describe fitted features: {error}") from None
        if loaded.hash != document.get("hash"):
            raise InputError(f"the features in {folder} were changed after they were fitted; fit them again")
        return loaded

    def save(self, folder: str | Path) -> None:
        """Write both files; the folder is made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH_FILE).write_bytes(self.graph)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        text = json.dumps(self._description() | {"hash": self.hash}, indent=2, ensure_ascii=False)
        (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(feature.name for feature in self.outputs)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(feature.width for feature in self.outputs)

    @cached_property
    def hash(self) -> str:
        description = json.dumps(self._description(), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return hashlib.sha256(self.graph + description).hexdigest()

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph, loaded into ONNX Runtime on the CPU."""
        return session(self.graph)

    def proto(self) -> "onnx.ModelProto":
        """The graph as an ONNX model, a new object each time."""
        import onnx

        return onnx.load_model_from_string(self.graph)

    @cached_property
    def tokens(self) -> dict[str, Tokens]:
        """What splits the texts of each tokenized column."""
        return {
            column.name: Tokens(self.files[column.tokenizer], column.max_tokens or 0, source=column.tokenizer)
            for column in self.inputs
            if column.tokenizer is not None
        }

    def feeds(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """The graph's inputs for a table: name to array of shape [N, 1], or what the input's kind says.

        Raises:
            InputError: Naming a column that is missing or of a wrong type.
        """
        return columns.feeds(table, self.inputs, self.tokens)

    def slices(self, table: pl.DataFrame, most: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
        """The table in parts that a network can answer at once; only large rows make them smaller than `most`."""
        rows = min(most, inference_rows(self.inputs))
        for start in range(0, table.height, rows):
            yield table.slice(start, rows)

    def transform(self, table: pl.DataFrame) -> np.ndarray:
        """The matrix of a table: float32 of shape [N, F], rows in the table's order; further columns are ignored.

        Raises:
            InputError: Naming a column that is missing or of a wrong type.
        """
        for column in self.inputs:  # one clear error before any work, even for an empty table
            columns.feed_of(columns.series_of(table, column.name).head(0), column, self.tokens)
        padding = [feature.padding for feature in self.outputs if feature.padding is not None]
        # Only the ids of a text are fewer than the columns of the matrix.
        matrix = np.full((table.height, self.width), padding[0] if padding else 0, dtype=np.float32)
        for start, batch in self._batches(table):
            answered = self.session.run([OUTPUT], self.feeds(batch))[0]
            matrix[start : start + batch.height, : answered.shape[1]] = answered
        return matrix

    def _batches(self, table: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
        rows = batch_rows(table, self.inputs, self.width)
        for start in range(0, table.height, rows):
            yield start, table.slice(start, rows)

    def _description(self) -> dict[str, Any]:
        description = {
            "framework": self.framework,
            "inputs": [column.to_dict() for column in self.inputs],
            "outputs": [feature.to_dict() for feature in self.outputs],
            "dropped": self.dropped,
            "specification": self.specification,
        }
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}
        return description | ({"files": sums} if sums else {})


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """A session of a graph on every core of the CPU."""
    return open_session(graph, threads=0)


def batch_rows(table: pl.DataFrame, inputs: Sequence[Input], width: int) -> int:
    """Rows at once: the matrix stays within `BATCH_BYTES`, and so do the tokens of a text, padded to the longest row's."""
    rows = min(BATCH_ROWS, BATCH_BYTES // (4 * max(width, 1)))
    for column in inputs:
        if column.kind == "text" and column.tokenizer is None and table.schema[column.name] == pl.String:
            longest: Any = table.get_column(column.name).str.len_bytes().max() or 0
            rows = min(rows, BATCH_BYTES // (_STRING_BYTES * (longest // 3 + 1)))
    return max(rows, 1)


def inference_rows(inputs: Iterable[Input]) -> int:
    """Rows that a network can answer at once: what it computes in between is many times as large as a row's own values."""
    tokens = max((column.max_tokens or 0 for column in inputs), default=0)
    values = max((prod(column.shape) for column in inputs), default=1)
    return max(1, min(TOKENS_AT_ONCE // max(tokens, 1) if tokens else BATCH_ROWS, VALUES_AT_ONCE // values, BATCH_ROWS))

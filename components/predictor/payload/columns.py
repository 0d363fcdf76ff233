"""Logged predictions as Arrow columns, in the types of stored tables.

Inputs are logged as the model received them: numbers converted to float32, categories as canonical text, missing values as
null.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from arro3.core import Array, DataType, Field, RecordBatch, Schema, fixed_size_list_array, list_array

from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME, Signature

ABOUT = ("request_id", "row", "time", "model", "version", "variant", "seconds")
PREFIX = "input_"  # for an input whose name is that of a column above, an output, or another input
METADATA = "stagewright.payload"
TENSORS = ("image", "tensor", "tokens")

Arrays = Mapping[str, np.ndarray]
Convert = Callable[[list[np.ndarray]], Array]  # from the graph inputs of several requests, in order


class Model(Protocol):
    """A model as the log uses it."""

    name: str
    version: str | None
    signature: Signature


class Entry(NamedTuple):
    """One successful request, by reference: nothing is copied until its columns are made.

    Attributes:
        model: The model.
        request_id: Id of the request.
        feeds: Graph inputs by column, each [N, ...], of this request or of its batch.
        outputs: `label` [N] and `probabilities` [N, C], or `prediction` [N].
        rows: Number of rows of the request.
        start: Index of the request's first row in the arrays.
        time: Time of the response, in seconds since 1970.
        seconds: Time from the request's first byte to the response.
        size: Approximate memory of the request, in bytes.
    """

    model: Model
    request_id: str
    feeds: Arrays
    outputs: Arrays
    rows: int
    start: int
    time: float
    seconds: float
    size: int


class Piece(NamedTuple):
    """Consecutive rows of an entry, `first` up to but not including `last`, relative to the request's first row."""

    entry: Entry
    first: int
    last: int


class Span(NamedTuple):
    """Consecutive rows of one inference's arrays, `first` up to but not including `last`, of one or several requests."""

    feeds: Arrays
    outputs: Arrays
    first: int
    last: int


class Layout:
    """The columns of one model's files.

    Args:
        model: The model.
        exclude: Names of inputs and outputs that are not logged.
        tensors: Whether images, tensors and tokens are logged.
    """

    def __init__(self, model: Model, *, exclude: frozenset[str] = frozenset(), tensors: bool = False) -> None:
        self.name, self.version, self.signature = model.name, model.version, model.signature
        self.variant = str(getattr(model, "variant", None) or "")
        self._inputs: list[tuple[str, str, Convert]] = []  # name in the feeds, name in the file, conversion
        self._classes: list[tuple[int, str]] = []
        signature = model.signature
        answers = ["prediction"] if signature.classes is None else ["label", *map(_probability, signature.classes)]
        self._answers = [name for name in answers if name not in exclude]
        if signature.classes is not None:
            named = enumerate(map(_probability, signature.classes))
            self._classes = [(at, name) for at, name in named if name not in exclude]
        written = _names([column.name for column in signature.inputs], {*ABOUT, *answers})
        for column in signature.inputs:
            kind = "tokens" if getattr(column, "tokenizer", None) else column.kind
            if column.name not in exclude and (tensors or kind not in TENSORS):
                self._inputs.append((column.name, written[column.name], _CONVERSIONS[kind]))
        self.metadata = {METADATA: json.dumps(self._description(), sort_keys=True)}

    def __len__(self) -> int:
        return len(ABOUT) + len(self._answers) + len(self._inputs)

    def _description(self) -> dict[str, Any]:
        """Description of the model for the file's metadata."""
        kinds = {column.name: column.kind for column in self.signature.inputs}
        return {
            "model": self.name,
            "version": self.version,
            "variant": self.variant or None,
            "task": self.signature.task,
            "target": self.signature.target,
            "classes": self.signature.classes,
            "inputs": {written: {"column": name, "kind": kinds[name]} for name, written, _ in self._inputs},
        }

    def batch(self, pieces: Sequence[Piece]) -> RecordBatch:
        """Convert the rows of the pieces to a record batch, in order."""
        spans = _spans(pieces)
        columns = self._about(pieces) | self._answered(spans)
        for name, written, convert in self._inputs:
            columns[written] = convert([feeds[name][first:last] for feeds, _, first, last in spans])
        schema = Schema([Field(name, array.type, nullable=True) for name, array in columns.items()])
        return RecordBatch.from_arrays(list(columns.values()), schema=schema)

    def _about(self, pieces: Sequence[Piece]) -> dict[str, Array]:
        counts = [last - first for _, first, last in pieces]
        rows = sum(counts)
        times = np.array([entry.time for entry, _, _ in pieces]) * 1e6
        seconds = np.array([entry.seconds for entry, _, _ in pieces], dtype=np.float64)
        ids = [name for (entry, _, _), count in zip(pieces, counts, strict=True) for name in [entry.request_id] * count]
        return {
            "request_id": _strings(ids),
            "row": Array.from_numpy(np.concatenate([np.arange(first, last) for _, first, last in pieces])),
            "time": Array.from_numpy(np.repeat(times.astype(np.int64), counts)).cast(DataType.timestamp("us")),
            "model": _strings([self.name] * rows),
            "version": _strings([self.version] * rows),
            "variant": _strings([self.variant or None] * rows),
            "seconds": Array.from_numpy(np.repeat(seconds, counts)),
        }

    def _answered(self, spans: Sequence[Span]) -> dict[str, Array]:
        columns: dict[str, Array] = {}
        for name in ("label", "prediction"):
            if name in self._answers:
                columns[name] = _plain(_joined([outputs[name][first:last] for _, outputs, first, last in spans]))
        if self._classes:
            table = _joined([outputs["probabilities"][first:last] for _, outputs, first, last in spans])
            for at, name in self._classes:
                columns[name] = _plain(table[:, at])
        return columns


def _names(inputs: Sequence[str], taken: set[str]) -> dict[str, str]:
    """Column name in the files by input: its own name, with the prefix repeated until the name is unique.

    Names that differ only in case count as equal, because many Parquet readers ignore case.

    >>> _names(["time", "input_time", "Row", "row", "age"], {"time", "row"})
    {'time': 'input_input_time', 'input_time': 'input_time', 'Row': 'input_Row', 'row': 'input_input_row', 'age': 'age'}
    """
    used = {name.lower() for name in taken}
    written: dict[str, str] = {}
    for name in inputs:
        if name.lower() not in used:
            written[name] = name
            used.add(name.lower())
    for name in inputs:
        if name not in written:
            free = f"{PREFIX}{name}"
            while free.lower() in used:
                free = f"{PREFIX}{free}"
            written[name] = free
            used.add(free.lower())
    return {name: written[name] for name in inputs}


def _spans(pieces: Sequence[Piece]) -> list[Span]:
    """Rows of the pieces, with adjacent rows of one inference merged."""
    spans: list[Span] = []
    for entry, first, last in pieces:
        begin, end = entry.start + first, entry.start + last
        if spans and spans[-1].feeds is entry.feeds and spans[-1].last == begin:
            spans[-1] = spans[-1]._replace(last=end)
        else:
            spans.append(Span(entry.feeds, entry.outputs, begin, end))
    return spans


def _probability(label: str | int | bool) -> str:
    return f"probability_{label}"


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _strings(values: Sequence[str | None]) -> Array:
    return Array(values, DataType.string())


def _plain(array: np.ndarray) -> Array:
    """A column of outputs [N] in the widest type of its kind."""
    if array.dtype == object or array.dtype.kind == "U":
        return _strings([str(value) for value in array.tolist()])
    if array.dtype == bool:
        return Array(array.tolist(), DataType.bool())
    wide = np.float64 if array.dtype.kind == "f" else np.int64
    return Array.from_numpy(np.ascontiguousarray(array, dtype=wide))


def _numeric(feeds: list[np.ndarray]) -> Array:
    wide = np.ascontiguousarray(_joined(feeds).reshape(-1), dtype=np.float64)
    missing = np.isnan(wide)
    if not missing.any():
        return Array.from_numpy(wide)
    return Array(_with_gaps(wide, missing), DataType.float64())


def _boolean(feeds: list[np.ndarray]) -> Array:
    flat = _joined(feeds).reshape(-1)
    return Array(_with_gaps(flat != 0, np.isnan(flat)), DataType.bool())


def _datetime(feeds: list[np.ndarray]) -> Array:
    flat = np.ascontiguousarray(_joined(feeds).reshape(-1))
    missing = flat == MISSING_TIME
    moments = Array(_with_gaps(flat, missing), DataType.int64()) if missing.any() else Array.from_numpy(flat)
    return moments.cast(DataType.timestamp("us"))


def _text(feeds: list[np.ndarray]) -> Array:
    return _strings([None if value == MISSING_STRING else value for value in _joined(feeds).reshape(-1).tolist()])


def _with_gaps(values: np.ndarray, missing: np.ndarray) -> list[Any]:
    found: list[Any] = values.tolist()
    for at in np.flatnonzero(missing).tolist():
        found[at] = None
    return found


def _tensor(feeds: list[np.ndarray]) -> Array:
    """Rows of one shape, as nested fixed-size lists."""
    joined = np.ascontiguousarray(_joined(feeds))
    nested = Array.from_numpy(joined.reshape(-1))
    for size in reversed(joined.shape[1:]):
        nested = fixed_size_list_array(nested, size)
    return nested


def _tokens(feeds: list[np.ndarray]) -> Array:
    """Rows of token ids, padded to the longest of their batch, as the model received them."""
    lengths = np.repeat([feed.shape[1] for feed in feeds], [len(feed) for feed in feeds])
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    flat = np.concatenate([feed.reshape(-1) for feed in feeds]).astype(np.int64)
    return list_array(Array.from_numpy(offsets), Array.from_numpy(flat))


_CONVERSIONS: dict[str, Convert] = {
    "numeric": _numeric, "boolean": _boolean, "datetime": _datetime, "categorical": _text, "text": _text,
    "image": _tensor, "tensor": _tensor, "tokens": _tokens,
}  # fmt: skip

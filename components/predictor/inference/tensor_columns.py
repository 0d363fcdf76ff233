"""Columns with more than one value a row: images, tensors, and texts as token ids.

Their interface is that of `value_columns.Column`. Their graph inputs have shape [N, *shape], or [N, L] for tokens.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from stagewright.components.predictor.wire import values as convert
from stagewright.components.predictor.wire.errors import BadColumn, BadTensor, counted, shown
from stagewright.components.predictor.wire.tensors import INTEGERS
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Input
from stagewright.components.runtime.tokens import Tokens, widened

_FLOATS = ("FP32", "FP64", "FP16", "BF16")
_ACCEPTED = {
    "image": ("UINT8", *(name for name in INTEGERS if name != "UINT8"), *_FLOATS),
    "tensor": (*_FLOATS, *INTEGERS),
    "text": ("BYTES",),
}
_PIXELS = 256
_LARGEST = int(np.finfo(np.float64).max)  # as an integer, which compares with any other integer


class TensorColumn:
    """An image, uint8 [N, C, H, W] in the graph, or a tensor, float32 [N, *shape].

    A row may come in its shape, flat, or without leading axes of size 1: an image [1, 8, 8] also as [8, 8] or 64 numbers.
    """

    def __init__(self, given: Input) -> None:
        self.name, self.kind, self.nullable = given.name, given.kind, given.nullable
        self.datatype, self.shape = given.datatype, given.shape
        self.size = prod(self.shape)
        squeezed = next((self.shape[at:] for at, size in enumerate(self.shape) if size != 1), (1,))
        forms = [(self.size,), self.shape, squeezed]
        self._forms: Mapping[int, tuple[int, ...]] = {len(form): form for form in reversed(forms)}

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        """Convert N JSON values, each a flat or nested list, to a graph input [N, *shape].

        Raises:
            BadColumn: If a value is invalid or missing. Names the first such row.
        """
        self._check_lists(values, 0, 1)
        form = self._forms.get(_depth(values[0])) if values else self.shape
        if form is None:
            raise BadColumn(self.name, f"lists nested {_depth(values[0])} deep; expected {self._expected()}", row=0)
        flat: Sequence[Any] = values
        for axis, size in enumerate(form):
            self._check_lengths(flat, size, len(values))
            flat = list(chain.from_iterable(flat))
            if axis + 1 < len(form):
                self._check_lists(flat, axis + 1, max(1, len(flat) // len(values)))
        return self._from_numbers(flat)

    def from_tensor(self, datatype: str, values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
        """Convert the row-major elements of a JSON V2 tensor to a graph input [N, *shape].

        Raises:
            BadColumn: If a value is invalid or missing.
            BadTensor: If the datatype or the shape does not fit.
        """
        self.check_datatype(datatype)
        self._check_shape(shape)
        return self._from_numbers(values)

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Convert the row-major elements of a binary V2 tensor to a graph input [N, *shape]. UINT8 pixels are not copied.

        Raises:
            BadColumn: If a value is invalid or missing.
            BadTensor: If the datatype or the shape does not fit.
        """
        self.check_datatype(datatype)
        self._check_shape(shape)
        return self._checked(array)

    def absent(self, rows: int) -> np.ndarray:
        """Refuse a request that leaves out an image or a tensor.

        Raises:
            BadColumn: Always.
        """
        raise BadColumn(self.name, "not in the request, and the model needs it")

    def blank(self, rows: int) -> np.ndarray:
        """A graph input [rows, *shape] of zeros, for a warm-up."""
        return np.zeros((rows, *self.shape), np.uint8 if self.kind == "image" else np.float32)

    def check_datatype(self, datatype: str) -> None:
        """Refuse a datatype that cannot hold these values.

        Raises:
            BadTensor: If it cannot.
        """
        _check_datatype(self.name, self.kind, datatype)

    @staticmethod
    def merge(feeds: Sequence[np.ndarray]) -> np.ndarray:
        """Concatenate graph inputs [N, *shape] of several requests."""
        return np.concatenate(feeds)

    def _check_shape(self, shape: Sequence[int]) -> None:
        if tuple(shape[1:]) not in self._forms.values():
            expected = " or ".join(str(["rows", *form]).replace("'", "") for form in dict.fromkeys(self._forms.values()))
            raise BadTensor(self.name, f"shape {list(shape)} does not fit; expected {expected}")

    def _check_lists(self, values: Sequence[Any], depth: int, width: int) -> None:
        if set(map(type, values)) <= {list, tuple}:
            return
        at = next(at for at, value in enumerate(values) if not isinstance(value, list | tuple))
        problem = (
            f"{shown(values[at])} where a list was expected{f', {depth} deep' if depth else ''}; expected {self._expected()}"
        )
        raise BadColumn(self.name, problem, row=at // width)

    def _check_lengths(self, values: Sequence[Any], size: int, rows: int) -> None:
        if set(map(len, values)) <= {size}:
            return
        at = next(at for at, value in enumerate(values) if len(value) != size)
        problem = f"a list of {counted(len(values[at]), 'value')} where {size} were needed; expected {self._expected()}"
        raise BadColumn(self.name, problem, row=at // max(1, len(values) // rows))

    def _expected(self) -> str:
        axes = " (channels, height, width)" if self.kind == "image" else ""
        return f"lists nested as shape {list(self.shape)}{axes}, or a list of {counted(self.size, 'number')}"

    def _from_numbers(self, flat: Sequence[Any]) -> np.ndarray:
        types = set(map(type, flat))
        if self.kind == "image" and types == {int}:
            try:
                return np.frombuffer(bytes(flat), np.uint8).reshape(-1, *self.shape)
            except ValueError:
                pass  # a number is below 0 or above 255; the error below names it
        if not types <= {int, float}:
            at = next(at for at, value in enumerate(flat) if type(value) not in (int, float))
            problem = f"{shown(flat[at])} is not a number" if flat[at] is not None else "a value is missing"
            raise BadColumn(self.name, problem, row=at // self.size)
        try:
            numbers = np.array(flat, np.float64)
        except OverflowError:
            at = next(at for at, value in enumerate(flat) if abs(value) > _LARGEST)
            raise BadColumn(self.name, "a number does not fit FP32", row=at // self.size) from None
        return self._checked(numbers)

    def _checked(self, flat: np.ndarray) -> np.ndarray:
        if self.kind == "image":
            return self._pixels(flat).reshape(-1, *self.shape)
        with np.errstate(over="ignore"):
            narrow = flat.astype(np.float32, copy=False)
        lost = np.isnan(narrow) | (np.isinf(narrow) & np.isfinite(flat))
        if lost.any():
            at = int(lost.argmax())
            problem = "a value is missing" if np.isnan(narrow[at]) else f"{flat[at]:g} does not fit FP32"
            raise BadColumn(self.name, problem, row=at // self.size)
        return narrow.reshape(-1, *self.shape)

    def _pixels(self, flat: np.ndarray) -> np.ndarray:
        if flat.dtype == np.uint8:
            return flat
        wrong = ~((flat >= 0) & (flat < _PIXELS))
        if flat.dtype.kind == "f":
            wrong |= flat != np.floor(flat)
        if wrong.any():
            at = int(wrong.argmax())
            problem = f"{flat[at]:g} is not a pixel; expected whole numbers from 0 to {_PIXELS - 1}"
            raise BadColumn(self.name, problem, row=at // self.size)
        return flat.astype(np.uint8)


class TokenColumn:
    """A text that the graph takes as token ids, int64 [N, L]. L is the length of the longest row.

    Raises:
        InputError: If the tokenizer is missing or cannot be used.
    """

    def __init__(self, given: Input, files: Mapping[str, bytes]) -> None:
        if given.tokenizer is None or given.max_tokens is None:
            raise ValueError(f"column '{given.name}' has no tokenizer")
        self.name, self.kind, self.nullable = given.name, given.kind, given.nullable
        self.datatype, self.shape = given.datatype, given.shape
        if given.tokenizer not in files:
            raise InputError(f"the model has no {given.tokenizer}, the tokenizer of column '{given.name}'")
        self.tokens = Tokens(files[given.tokenizer], given.max_tokens, source=given.tokenizer)

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        """Convert N JSON values to token ids [N, L]; null is an empty text, numbers and booleans are written as in a table.

        Raises:
            BadColumn: If a value is invalid, or missing but required. Names the first such row.
        """
        texts = convert.text(self.name, values)
        if not self.nullable:
            gaps = convert.where_missing(texts)
            if gaps.any():
                raise BadColumn(self.name, "no value, and the model needs one", row=int(gaps.argmax()))
        return self.tokens.ids(texts.tolist())

    def from_tensor(self, datatype: str, values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
        """Convert the elements of a JSON V2 tensor to token ids [N, L].

        Raises:
            BadColumn: If a value is invalid, or missing but required.
            BadTensor: If the datatype or the shape does not fit.
        """
        self.check_datatype(datatype)
        self._check_shape(shape)
        return self.from_values(values)

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Convert the elements of a binary V2 tensor to token ids [N, L].

        Raises:
            BadColumn: If a value is missing but required.
            BadTensor: If the datatype or the shape does not fit.
        """
        return self.from_tensor(datatype, array.tolist(), shape)

    def absent(self, rows: int) -> np.ndarray:
        """Token ids [rows, L] of empty texts, for a column that the request left out.

        Raises:
            BadColumn: If the model requires the column.
        """
        if not self.nullable:
            raise BadColumn(self.name, "not in the request, and the model needs it")
        return self.tokens.ids([""] * rows)

    def blank(self, rows: int) -> np.ndarray:
        """Token ids [rows, L] of empty texts, for a warm-up."""
        return self.tokens.ids([""] * rows)

    def check_datatype(self, datatype: str) -> None:
        """Refuse a datatype that cannot hold text.

        Raises:
            BadTensor: If it cannot.
        """
        _check_datatype(self.name, self.kind, datatype)

    def merge(self, feeds: Sequence[np.ndarray]) -> np.ndarray:
        """Concatenate token ids [N, L] of several requests, padded to the longest L."""
        longest = max(feed.shape[1] for feed in feeds)
        return np.concatenate([widened(feed, longest, self.tokens.pad) for feed in feeds])

    def _check_shape(self, shape: Sequence[int]) -> None:
        if len(shape) > 2 or prod(shape[1:]) != 1:
            raise BadTensor(self.name, f"shape {list(shape)} does not fit one text a row; expected [rows] or [rows, 1]")


def _check_datatype(name: str, kind: str, datatype: str) -> None:
    if datatype not in _ACCEPTED[kind]:
        fitting = ", ".join(_ACCEPTED[kind])
        raise BadTensor(name, f"datatype {datatype} does not fit {kind} input; send one of {fitting}")


def _depth(value: Any) -> int:
    """Depth of nested lists, along the first element of each."""
    depth = 0
    while isinstance(value, list | tuple):
        depth += 1
        value = value[0] if value else None
    return depth

"""Columns with one value a row: conversion of V1's and V2's values to graph inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stagewright.components.predictor.wire import values as convert
from stagewright.components.predictor.wire.errors import BadColumn, BadTensor
from stagewright.components.predictor.wire.tensors import DATATYPES, INTEGERS
from stagewright.components.runtime.signature import GRAPH_TYPES

_NUMPY = {"float": np.dtype(np.float32), "string": np.dtype(object), "int64": np.dtype(np.int64)}
_NUMBERS = ("FP32", "FP64", "FP16", "BF16", *INTEGERS)
_ACCEPTED = {
    "numeric": (*_NUMBERS, "BOOL"),
    "boolean": ("BOOL", *_NUMBERS),
    "datetime": ("BYTES", "INT64"),
    "categorical": ("BYTES", *(name for name in DATATYPES if name != "BYTES")),
    "text": ("BYTES", *(name for name in DATATYPES if name != "BYTES")),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column with one value a row. Its graph input has shape [N, 1].

    Attributes:
        bounded: Refuse numbers that do not fit float32. Otherwise they become infinite; graphs exported by Stagewright read
            infinity as missing, as in training.
        spellings: Category of the training data by canonical text, such as "2": "2.0" or "true": "True".
    """

    name: str
    kind: str
    nullable: bool
    datatype: str = ""
    shape: tuple[int, ...] = (1,)
    bounded: bool = False
    spellings: Mapping[str, str] = field(default_factory=dict)

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        """Convert N JSON values to a graph input [N, 1].

        Raises:
            BadColumn: If a value is invalid, or missing but required. Names the first such row.
        """
        converted = convert.CONVERSIONS[self.kind](self.name, values)
        if self.bounded and self.kind == "numeric":
            self._check_bounds(converted, np.array(values, dtype=np.float64))
        if self.spellings:
            convert.respell(converted, values, self.spellings)
        return self._checked(converted)

    def from_tensor(self, datatype: str, values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
        """Convert the elements of a JSON V2 tensor [rows] or [rows, 1] to a graph input [rows, 1].

        Raises:
            BadColumn: If a value is invalid, or missing but required.
            BadTensor: If the datatype or the shape does not fit.
        """
        self._check_shape(shape)
        self.check_datatype(datatype)
        if self.kind == "datetime" and datatype == "INT64":
            none = convert.missing(self.kind)
            return self._checked(np.array([none if value is None else value for value in values], dtype=np.int64))
        return self.from_values(values)

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Convert the elements of a binary V2 tensor [rows] or [rows, 1] to a graph input [rows, 1].

        Raises:
            BadColumn: If a value is invalid, or missing but required.
            BadTensor: If the datatype or the shape does not fit.
        """
        self._check_shape(shape)
        self.check_datatype(datatype)
        if self.kind == "numeric":
            narrow = convert.to_float32(array)
            if self.bounded:
                self._check_bounds(narrow, array)
            return self._checked(narrow)
        if self.kind == "boolean":
            return self._checked(convert.truth(self.name, array))
        if datatype == "INT64" and self.kind == "datetime":
            return self._checked(array)
        if datatype in ("FP16", "FP32", "BF16"):  # 0.1 is "0.1" at any width
            return self.from_values([float(str(value)) for value in array])
        return self.from_values(array.tolist())

    def absent(self, rows: int) -> np.ndarray:
        """Missing values [rows, 1], for a column that the request left out.

        Raises:
            BadColumn: If the model requires the column.
        """
        if not self.nullable:
            raise BadColumn(self.name, "not in the request, and the model needs it")
        return self.blank(rows)

    def blank(self, rows: int) -> np.ndarray:
        """Missing values [rows, 1], even for a required column: for a warm-up."""
        return np.full((rows, 1), convert.missing(self.kind), dtype=_NUMPY[GRAPH_TYPES[self.kind]])

    def check_datatype(self, datatype: str) -> None:
        """Refuse a datatype that cannot hold this kind of column.

        Raises:
            BadTensor: If it cannot.
        """
        if datatype not in _ACCEPTED[self.kind]:
            fitting = ", ".join(_ACCEPTED[self.kind])
            raise BadTensor(self.name, f"datatype {datatype} does not fit a {self.kind} column; send one of {fitting}")

    @staticmethod
    def merge(feeds: Sequence[np.ndarray]) -> np.ndarray:
        """Concatenate graph inputs [N, 1] of several requests."""
        return np.concatenate(feeds)

    def _check_shape(self, shape: Sequence[int]) -> None:
        if len(shape) > 2:
            raise BadTensor(self.name, f"shape {list(shape)} has {len(shape)} dimensions; expected [rows] or [rows, columns]")
        if len(shape) == 2 and shape[1] != 1:
            raise BadTensor(self.name, f"shape {list(shape)} has {shape[1]} columns; expected [rows] or [rows, 1]")

    def _check_bounds(self, narrow: np.ndarray, given: np.ndarray) -> None:
        lost = np.isinf(narrow) & np.isfinite(given)
        if lost.any():
            row = int(lost.argmax())
            raise BadColumn(self.name, f"{given[row]:g} does not fit FP32", row=row)

    def _checked(self, flat: np.ndarray) -> np.ndarray:
        if not self.nullable:
            gaps = convert.where_missing(flat)
            if gaps.any():
                raise BadColumn(self.name, "no value, and the model needs one", row=int(gaps.argmax()))
        return flat.reshape(-1, 1)

"""Columns of the MLflow backend: numbers keep the width in which they were sent.

An ONNX graph takes float32. An MLflow model gets the same float64 numbers and integers as without a server.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stagewright.components.predictor.inference.columns import Columns, Feeds
from stagewright.components.predictor.inference.value_columns import Column
from stagewright.components.predictor.wire import values as convert
from stagewright.components.predictor.wire.errors import BadColumn
from stagewright.components.runtime.signature import Input


class WideColumn(Column):
    """A numeric column as float64 [N, 1]."""

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        if not convert.NUMBERS.issuperset(map(type, values)):
            return super().from_values(values)  # raises an error that names the row
        return self._checked(np.array(values, dtype=np.float64))

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        self._check_shape(shape)
        self.check_datatype(datatype)
        return self._checked(array.astype(np.float64))

    def blank(self, rows: int) -> np.ndarray:
        return np.full((rows, 1), np.nan)

    def _checked(self, flat: np.ndarray) -> np.ndarray:
        gaps = np.isnan(flat)
        if not self.nullable and gaps.any():
            raise BadColumn(self.name, "no value, and the model needs one", row=int(gaps.argmax()))
        return flat.reshape(-1, 1)


class MlflowColumns(Columns):
    """The model's columns in the signature's order."""

    def __init__(self, inputs: Iterable[Input]) -> None:
        super().__init__(inputs)
        self.all = tuple(_wide(column) if isinstance(column, Column) and column.kind == "numeric" else column
                         for column in self.all)  # fmt: skip
        self.by_name = {column.name: column for column in self.all}

    def feeds(self, rows: Sequence[Sequence[Any]]) -> Feeds:
        values = zip(*rows, strict=True)
        return {column.name: column.from_values(given) for column, given in zip(self.all, values, strict=True)}


def _wide(column: Column) -> WideColumn:
    return WideColumn(column.name, column.kind, column.nullable, column.datatype, column.shape)

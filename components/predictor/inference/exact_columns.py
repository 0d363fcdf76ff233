"""Columns of imported graphs with an exact type: float64, float16, integers of any width, bool."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stagewright.components.predictor.inference.value_columns import Column
from stagewright.components.predictor.wire.errors import BadColumn, shown
from stagewright.components.predictor.wire.tensors import NUMPY


class ExactColumn(Column):
    """A column with the exact type `datatype`. A value is passed unchanged, or refused if the type cannot hold it."""

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        dtype = NUMPY[self.datatype]
        fed = np.empty(len(values), dtype=dtype)
        for row, value in enumerate(values):
            fed[row] = self._exactly(value, row, dtype)
        return fed.reshape(-1, 1)

    def from_tensor(self, datatype: str, values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
        self._check_shape(shape)
        self.check_datatype(datatype)
        return self.from_values(values)

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        self._check_shape(shape)
        self.check_datatype(datatype)
        if array.dtype == NUMPY[self.datatype] and (array.dtype.kind != "f" or self.nullable):
            return array.reshape(-1, 1)
        return self.from_values([None if value != value else value for value in array.tolist()])  # noqa: PLR0124 - NaN

    def blank(self, rows: int) -> np.ndarray:
        dtype = NUMPY[self.datatype]
        return np.full((rows, 1), np.nan if dtype.kind == "f" and self.nullable else 0, dtype=dtype)

    def _exactly(self, value: Any, row: int, dtype: np.dtype[Any]) -> Any:
        if value is None:
            if dtype.kind == "f" and self.nullable:
                return np.nan
            raise BadColumn(self.name, "no value, and the model needs one", row=row)
        if type(value) not in (int, float, bool):
            raise BadColumn(self.name, f"{shown(value)} is not a number", row=row)
        if dtype.kind == "b" and value not in (0, 1):
            raise BadColumn(self.name, f"{shown(value)} is not true or false", row=row)
        if dtype.kind in "iu":
            if value != value // 1:
                raise BadColumn(
                    self.name, f"{shown(value)} is not a whole number, and the model takes {self.datatype}", row=row
                )
            limits = np.iinfo(dtype)
            if not limits.min <= int(value) <= limits.max:
                raise BadColumn(
                    self.name, f"{shown(value)} does not fit {self.datatype} ({limits.min} to {limits.max})", row=row
                )
            return int(value)
        if dtype.kind == "f":
            self._check_float(value, row, dtype)
        return value

    def _check_float(self, value: float, row: int, dtype: np.dtype[Any]) -> None:
        with np.errstate(over="ignore"):
            fed = np.float64(value).astype(dtype)
        whole = self.datatype == "FP64" and type(value) is int and int(fed) != value
        if whole or (np.isinf(fed) and abs(value) != np.inf):
            raise BadColumn(self.name, f"{shown(value)} does not fit {self.datatype}", row=row)

"""The columns that a model takes: names, order, and from either protocol's values to the graph's inputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stagewright.components.runtime.signature import GRAPH_TYPES, TENSOR_KINDS, Input
from stagewright.components.serving.predictor import values as convert
from stagewright.components.serving.predictor.column_groups import Group
from stagewright.components.serving.predictor.errors import BadColumn, BadTensor, UnknownColumn, shown
from stagewright.components.serving.predictor.tensor_columns import TensorColumn, TokenColumn
from stagewright.components.serving.predictor.tensors import DATATYPES, INTEGERS, NUMPY

Feeds = dict[str, np.ndarray]

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
    """One column of the model with a single value a row; its graph input has shape [N, 1].

    Attributes:
        bounded: A number that does not fit float32 is refused. Otherwise it becomes infinite, which the graphs of models that
            were trained here read as missing, as they did in training.
        spellings: How training met numbers and truth values that it writes otherwise: 2 as "2.0", true as "True".
    """

    name: str
    kind: str
    nullable: bool
    datatype: str = ""
    shape: tuple[int, ...] = (1,)
    bounded: bool = False
    spellings: Mapping[str, str] = field(default_factory=dict)

    def from_values(self, values: Sequence[Any]) -> np.ndarray:
        """JSON values [N] as the graph's input.

        Raises:
            BadColumn: Naming the first row whose value is wrong, or missing where it may not be.
        """
        converted = convert.CONVERSIONS[self.kind](self.name, values)
        if self.bounded and self.kind == "numeric":
            self._check_bounds(converted, np.array(values, dtype=np.float64))
        if self.spellings:
            convert.respell(converted, values, self.spellings)
        return self._checked(converted)

    def from_tensor(self, datatype: str, values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
        """Elements of a V2 tensor [rows] or [rows, 1] in JSON as the graph's input."""
        self._check_shape(shape)
        self.check_datatype(datatype)
        if self.kind == "datetime" and datatype == "INT64":
            none = convert.missing(self.kind)
            return self._checked(np.array([none if value is None else value for value in values], dtype=np.int64))
        return self.from_values(values)

    def from_array(self, datatype: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Elements of a binary V2 tensor [rows] or [rows, 1] as the graph's input."""
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
        if datatype in ("FP16", "FP32", "BF16"):  # 0.1 is "0.1" in any width
            return self.from_values([float(str(value)) for value in array])
        return self.from_values(array.tolist())

    def absent(self, rows: int) -> np.ndarray:
        """A column that the request left out, as missing values.

        Raises:
            BadColumn: If the model needs it.
        """
        if not self.nullable:
            raise BadColumn(self.name, "not in the request, and the model needs it")
        return self.blank(rows)

    def blank(self, rows: int) -> np.ndarray:
        """An input of missing values, also where the model needs them: for a rehearsal."""
        return np.full((rows, 1), convert.missing(self.kind), dtype=_NUMPY[GRAPH_TYPES[self.kind]])

    def check_datatype(self, datatype: str) -> None:
        """Refuse a datatype that cannot hold this kind of column."""
        if datatype not in _ACCEPTED[self.kind]:
            fitting = ", ".join(_ACCEPTED[self.kind])
            raise BadTensor(self.name, f"datatype {datatype} does not fit a {self.kind} column; send one of {fitting}")

    @staticmethod
    def merge(feeds: Sequence[np.ndarray]) -> np.ndarray:
        """Inputs of several requests as one."""
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


class ExactColumn(Column):
    """A column that a graph takes in a type of its own, `datatype`: a value is kept as it is, or refused in one sentence."""

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


AnyColumn = Column | TensorColumn | TokenColumn


class Columns:
    """The model's columns in the signature's order.

    Args:
        files: Small files beside the signature by name: a tokenized text needs its tokenizer.
        bounded: Refuse numbers that do not fit float32, for graphs that were not made here.

    Raises:
        InputError: If a tokenizer is missing or cannot be used.
    """

    def __init__(
        self, inputs: Iterable[Input], files: Mapping[str, bytes] | None = None, *, bounded: bool = False
    ) -> None:  # fmt: skip
        self.all: tuple[AnyColumn, ...] = tuple(_column(given, files or {}, bounded) for given in inputs)
        self.names = tuple(column.name for column in self.all)
        self.width = len(self.all)
        self.by_name: Mapping[str, AnyColumn] = {column.name: column for column in self.all}
        self.tensor = len(self.all) == 1 and isinstance(self.all[0], TensorColumn)  # and no column beside it
        single = [(at, column) for at, column in enumerate(self.all) if type(column) is Column]
        self._groups = [
            Group([(at, one) for at, one in single if one.kind in ("numeric", "boolean")], numeric=True),
            Group([(at, one) for at, one in single if one.kind in ("categorical", "text")], numeric=False),
        ]
        grouped = {at for group in self._groups for at in group.places}
        self._others = [(at, column) for at, column in enumerate(self.all) if at not in grouped]

    def __len__(self) -> int:
        return len(self.all)

    @property
    def numeric(self) -> bool:
        """Whether one numeric tensor can hold all columns."""
        return all(column.kind in ("numeric", "boolean") for column in self.all)

    def find(self, name: str, *, where: str = "", noun: str = "column") -> AnyColumn:
        """The column of this name.

        Raises:
            UnknownColumn: Naming the nearest.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownColumn(name, self.names, where=where, noun=noun) from None

    def feeds(self, rows: Sequence[Sequence[Any]]) -> Feeds:
        """Rows, each with a value for every column in order, as the graph's inputs.

        Raises:
            BadColumn: Naming the first column with a wrong value, and its first row.
        """
        feeds: Feeds = {}
        for group in self._groups:
            together = group.convert(rows)
            if together is None:  # something is wrong or unusual: each column for itself, so that the first one is named
                values = zip(*rows, strict=True)
                return {column.name: column.from_values(given) for column, given in zip(self.all, values, strict=True)}
            feeds.update(together)
        for at, column in self._others:
            feeds[column.name] = column.from_values([row[at] for row in rows])
        return feeds

    def complete(self, feeds: Feeds, rows: int) -> Feeds:
        """The same feeds with the columns that the request left out, as missing values."""
        if len(feeds) == len(self.all):
            return feeds
        return {column.name: feeds[column.name] if column.name in feeds else column.absent(rows) for column in self.all}

    def merge(self, feeds: Sequence[Feeds]) -> Feeds:
        """Inputs of several requests as one, in their order."""
        if len(feeds) == 1:
            return feeds[0]
        return {column.name: column.merge([one[column.name] for one in feeds]) for column in self.all}


def _column(given: Input, files: Mapping[str, bytes], bounded: bool) -> AnyColumn:
    if given.kind in TENSOR_KINDS:
        return TensorColumn(given)
    if given.tokenizer is not None:
        return TokenColumn(given, files)
    spellings = convert.spellings(given.categories or ())
    if given.exact is not None:
        return ExactColumn(given.name, given.kind, given.nullable, given.datatype, bounded=bounded)
    return Column(given.name, given.kind, given.nullable, given.datatype, bounded=bounded, spellings=spellings)

"""The columns of a model, and conversion of V1's and V2's values to graph inputs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stagewright.components.predictor.inference.exact_columns import ExactColumn
from stagewright.components.predictor.inference.tensor_columns import TensorColumn, TokenColumn
from stagewright.components.predictor.inference.value_columns import Column
from stagewright.components.predictor.wire import values as convert
from stagewright.components.predictor.wire.column_groups import Group
from stagewright.components.predictor.wire.errors import UnknownColumn
from stagewright.components.runtime.signature import TENSOR_KINDS, Input

Feeds = dict[str, np.ndarray]


AnyColumn = Column | TensorColumn | TokenColumn


class Columns:
    """The model's columns in the signature's order.

    Args:
        inputs: Columns of the signature.
        files: Small files of the model by name, such as tokenizers.
        bounded: Refuse numbers that do not fit float32, for imported graphs.

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
        self.tensor = len(self.all) == 1 and isinstance(self.all[0], TensorColumn)  # the only column
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
        """Whether all columns are numeric or boolean, so that one tensor can hold them."""
        return all(column.kind in ("numeric", "boolean") for column in self.all)

    def find(self, name: str, *, where: str = "", noun: str = "column") -> AnyColumn:
        """The column of this name.

        Raises:
            UnknownColumn: If there is none. The sentence suggests the most similar name.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownColumn(name, self.names, where=where, noun=noun) from None

    def feeds(self, rows: Sequence[Sequence[Any]]) -> Feeds:
        """Convert N rows, each with a value for every column in order, to graph inputs, each [N, ...].

        Raises:
            BadColumn: If a value is invalid. Names the first invalid column and its first invalid row.
        """
        feeds: Feeds = {}
        for group in self._groups:
            together = group.convert(rows)
            if together is None:  # convert by column: handles unusual values, and names the first invalid column
                values = zip(*rows, strict=True)
                return {column.name: column.from_values(given) for column, given in zip(self.all, values, strict=True)}
            feeds.update(together)
        for at, column in self._others:
            feeds[column.name] = column.from_values([row[at] for row in rows])
        return feeds

    def complete(self, feeds: Feeds, rows: int) -> Feeds:
        """Add the columns that the request left out, as missing values [rows, 1].

        Raises:
            BadColumn: If the model requires such a column."""
        if len(feeds) == len(self.all):
            return feeds
        return {column.name: feeds[column.name] if column.name in feeds else column.absent(rows) for column in self.all}

    def merge(self, feeds: Sequence[Feeds]) -> Feeds:
        """Concatenate the graph inputs of several requests, in order."""
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

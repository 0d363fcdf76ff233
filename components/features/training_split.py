"""The training split, read column by column or in batches of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from stagewright.components.features.specification import ColumnPlan
from stagewright.components.runtime import columns, tables
from stagewright.components.runtime.errors import InputError, did_you_mean

BATCH_ROWS = 262_144
# Names that a served model's graph uses for its outputs.
RESERVED = ("features", "label", "probabilities", "prediction")


class TrainingSplit:
    """The training split, read column by column or in batches of rows."""

    def __init__(self, path: str | Path) -> None:
        self._frame = tables.scan_table(path)
        self._types = self._frame.collect_schema()
        self.names = self._types.names()
        self.rows: int = self._frame.select(pl.len()).collect().item()

    def check(self, used: Sequence[ColumnPlan]) -> None:
        """Check that the columns exist and can be used.

        Raises:
            InputError: If the split has no rows, or naming a column that is missing or unusable.
        """
        if self.rows == 0:
            raise InputError("the training split has no rows")
        for column in used:
            if column.name not in self.names:
                raise InputError(
                    f"column '{column.name}' is missing from the training split{did_you_mean(column.name, self.names)}"
                )
            if not column.name:
                raise InputError("a column has no name; name it, or leave it out of the data")
            if column.name in RESERVED:
                raise InputError(f"column '{column.name}' has a name that the model uses for its output; rename or drop it")

    def values(self, column: ColumnPlan) -> pl.Series:
        """A column as the graph reads it, [N]."""
        return columns.canonical(self._frame.select(column.name).collect().get_column(column.name), column.kind)

    def shape(self, column: ColumnPlan) -> tuple[int, ...]:
        """Shape of one value of an array column.

        Raises:
            InputError: If the column does not hold arrays.
        """
        dtype = self._types[column.name]
        if not isinstance(dtype, pl.Array):
            raise InputError(f"column '{column.name}' is to be {column.kind} but holds {dtype}; expected arrays of one shape")
        return dtype.shape

    def batches(self, names: Sequence[str], rows: int | None = None) -> Iterator[pl.DataFrame]:
        """Batches of rows with some columns, in order (default: `BATCH_ROWS` rows each)."""
        rows = rows or BATCH_ROWS
        for start in range(0, self.rows, rows):
            yield self._frame.select(names).slice(start, rows).collect()

"""Which rows a model learned from, kept with the model: no later comparison may judge it on them.

`learned/rows.npy` holds a hash of each different row of the training and the validation split (validation decides when to stop,
so it counts as learned), sorted; `learned/rows.json` says over which columns. Of more than `MOST` different rows a part is kept
that the hashes themselves choose, so that of any row one can tell whether it belongs to that part: rows outside it are left
undecided, and those inside it are decided exactly.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from stagewright.components.runtime import rowhash, tables

if TYPE_CHECKING:
    from stagewright.components.runtime.schema import Schema

FOLDER = "learned"
MOST = 1_000_000  # hashes in the file: 8 MB
_ROWS, _ABOUT = "rows.npy", "rows.json"


@dataclass(frozen=True, slots=True)
class LearnedRows:
    """The rows that a model learned from.

    Attributes:
        columns: Those that a row is told by, each with the form of its values: number, text, time or array.
        hashes: Sorted, each once, [H] uint64.
        one_in: Share of all hashes that could be kept, as its reciprocal: 1, 2, 4, ...
        rows: How many rows there were, equal ones included.
    """

    columns: dict[str, str]
    hashes: np.ndarray
    one_in: int = 1
    rows: int = 0

    @classmethod
    def of(cls, paths: Sequence[str | Path], columns: Sequence[str], *, most: int = MOST) -> Self:
        """The rows of stored tables of the same columns.

        Args:
            columns: What a row is told by: those that a model may learn from. Neither the target nor an identifier, so that
                a row whose label was corrected, or that was numbered anew, is known again.
        """
        forms = rowhash.forms(tables.scan_table(paths[0]).collect_schema(), columns)
        every = [rowhash.of_file(path, columns) for path in paths]
        hashes = np.unique(np.concatenate(every))
        one_in = 1
        while len(hashes) > most:
            one_in *= 2
            hashes = hashes[_kept(hashes, one_in)]
        return cls(forms, hashes, one_in, sum(map(len, every)))

    @classmethod
    def read(cls, model: str | Path) -> Self | None:
        """The record in a model's folder; None where there is none that this version reads."""
        folder = Path(model) / FOLDER
        try:
            about = json.loads((folder / _ABOUT).read_text())
            if about["version"] != rowhash.VERSION:
                return None
            hashes = np.load(folder / _ROWS, allow_pickle=False).astype(np.uint64, casting="safe", copy=False)
            return cls(dict(about["columns"]), hashes, int(about["one_in"]), int(about["rows"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, model: str | Path) -> None:
        """Add the record to a model's folder."""
        folder = Path(model) / FOLDER
        folder.mkdir(exist_ok=True)
        np.save(folder / _ROWS, self.hashes, allow_pickle=False)
        about = {"version": rowhash.VERSION, "rows": self.rows, "one_in": self.one_in, "columns": self.columns}
        (folder / _ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")

    def incompatibility(self, schema: Mapping[str, pl.DataType]) -> str:
        """Why the rows of a table cannot be told to be new or learned; empty when they can."""
        missing = [name for name in self.columns if name not in schema]
        if missing:
            return f"which rows it learned from cannot be told without the column '{missing[0]}', which the data no longer has"
        for name, form in rowhash.forms(schema, list(self.columns)).items():
            if form != self.columns[name]:
                change = f"column '{name}' held {self.columns[name]}s then and holds {form}s now"
                return f"which rows it learned from cannot be told: {change}"
        return ""

    def new(self, table: pl.DataFrame) -> np.ndarray:
        """Which rows of a table the model certainly did not learn from, [N] bool."""
        hashes = rowhash.of_table(table, list(self.columns))
        return _kept(hashes, self.one_in) & ~np.isin(hashes, self.hashes)


def identifying_columns(schema: "Schema", names: Sequence[str]) -> list[str]:
    """The columns of a table that a row is told by: those that a model may learn from, whether or not it does."""
    features = {column.name for column in schema.features}
    return [name for name in names if name in features]


def _kept(hashes: np.ndarray, one_in: int) -> np.ndarray:
    """Hashes of the part that is kept; that of `one_in=4` lies within that of 2."""
    return rowhash.drawn(hashes, -1) < 1 / one_in

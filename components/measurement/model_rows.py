"""Rows to measure a model with: as inputs of its graph, and as requests over V2."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.measurement.load.generator import http_request
from stagewright.components.runtime import columns, tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.fingerprint import BASELINE
from stagewright.components.runtime.model import SERVING, Predictions
from stagewright.components.runtime.signature import Input, Signature

MOST_ROWS = 10_000
FEATURES = "features"


@dataclass(frozen=True)
class ModelRows:
    """A table that an exported model can answer.

    Attributes:
        table: Raw columns, among them those of the signature.
        own: The model's own answers for these rows, if the table is its baseline.
    """

    folder: Path
    signature: Signature
    table: pl.DataFrame
    own: Predictions | None = None

    @classmethod
    def load(cls, folder: str | Path, data: str = "") -> "ModelRows":
        """Rows of `data`, or of the model's own baseline.

        Args:
            folder: An exported model.
            data: Anything that ingest_data reads; its first 10,000 rows are used.

        Raises:
            InputError: If the model has no baseline and no data is given, or the data lacks a column.
        """
        folder = Path(folder)
        signature = Signature.read(folder / SERVING)
        baseline = folder / SERVING / BASELINE
        if not data and not baseline.is_file():
            raise InputError(f"the model in {folder} has no {BASELINE}; give rows to measure it with as `data`")
        table = _ingested(data) if data else tables.read_table(baseline)
        for given in signature.inputs:
            columns.series_of(table, given.name)
        if not table.height:
            raise InputError(f"{data or baseline} has no rows; a model cannot be measured on none")
        return cls(folder, signature, table, None if data else _own(table, signature))

    @cached_property
    def feeds(self) -> dict[str, np.ndarray]:
        """Inputs of the graph, rows first."""
        if (self.folder / FEATURES).is_dir():
            return FeatureGraph.load(self.folder / FEATURES).feeds(self.table)
        return columns.feeds(self.table, self.signature.inputs)

    def batch(self, rows: int) -> dict[str, np.ndarray]:
        """Inputs of exactly this many rows; those that there are, over again if they are too few."""
        at = np.arange(rows) % self.table.height
        return {name: np.ascontiguousarray(values[at]) for name, values in self.feeds.items()}

    def requests(self, name: str, *, rows: int = 1, count: int = 200) -> list[bytes]:
        """Whole HTTP requests over V2, each with other rows."""
        path = f"/v2/models/{name}/infer"
        made = []
        for first in range(0, count * rows, rows):
            part = self.table[[at % self.table.height for at in range(first, first + rows)]]
            body = {"inputs": [_tensor(part.get_column(given.name), given) for given in self.signature.inputs]}
            made.append(http_request(path, json.dumps(body, separators=(",", ":"), allow_nan=False).encode()))
        return made


def _ingested(data: str) -> pl.DataFrame:
    from stagewright.components.ingestion.ingest import ingest

    with TemporaryDirectory(prefix="stagewright-") as scratch:
        stored = Path(scratch) / "rows.parquet"
        ingest(data, stored, Path(scratch) / "quarantine.parquet")
        return tables.scan_table(stored).head(MOST_ROWS).collect()


def _own(table: pl.DataFrame, signature: Signature) -> Predictions | None:
    """The answers that a baseline holds beside its rows."""
    if signature.classes is None:
        return Predictions(values=table["__prediction__"].to_numpy()) if "__prediction__" in table.columns else None
    names = [f"__probability_{at}__" for at in range(len(signature.classes))]
    if not {"__label__", *names} <= set(table.columns):
        return None
    return Predictions(labels=table["__label__"].to_numpy(), probabilities=table.select(names).to_numpy().astype(np.float32))


def _tensor(column: pl.Series, given: Input) -> dict[str, Any]:
    """A V2 tensor in JSON, flat, of the datatype that the column's kind has on the wire."""
    values: Sequence[Any]
    if given.shape != (1,):
        values = np.asarray(column.to_list()).reshape(-1).tolist()
    elif isinstance(column.dtype, pl.Datetime | pl.Date):
        values = column.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_list()
    elif given.datatype == "BYTES":
        values = columns.canonical(column, given.kind).to_list()
        values = [value or None for value in values] if given.nullable else values
    elif given.datatype == "BOOL":
        values = column.cast(pl.Boolean).to_list()
    else:
        values = column.fill_nan(None).to_list() if column.dtype.is_float() else column.to_list()
    return {"name": given.name, "datatype": given.datatype, "shape": [len(column), *given.shape], "data": values}

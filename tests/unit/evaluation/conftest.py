"""Real models to evaluate: each trained once a session, on real data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.model import ESTIMATOR, FEATURES, ModelMetadata, framework
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.training.frameworks._base import Split, TrainingData


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

    def make(table: pl.DataFrame, target: str, task: str, *, name: str = "xgboost", params: dict | None = None) -> Trained:
        folder = tmp_path_factory.mktemp("trained")
        schema = Schema(target=target, task=Task(task), columns=[_column(series, target, task) for series in table])
        schema.write(folder / "schema.json")
        shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
        ends = [0, int(0.7 * len(table)), int(0.85 * len(table)), len(table)]
        paths = {}
        for split, start, end in zip(("train", "validation", "test"), ends, ends[1:], strict=False):
            paths[split] = folder / f"{split}.parquet"
            tables.write(shuffled[start:end], paths[split])
        model = folder / "model"
        _train(model, paths, schema, name, params or {})
        return Trained(model, **paths, schema=folder / "schema.json")

    return make


def _column(series: pl.Series, target: str, task: str) -> Column:
    numeric = series.dtype.is_numeric() and not (series.name == target and task != "regression")
    return Column(name=series.name, kind=ColumnKind.NUMERIC if numeric else ColumnKind.CATEGORICAL)


def _train(folder: Path, paths: dict[str, Path], schema: Schema, name: str, params: dict) -> None:
    target = str(schema.target)
    graph = fit_features(paths["train"], schema, framework=name, params=params)
    graph.save(folder / FEATURES)
    frames = {split: tables.read(paths[split]) for split in ("train", "validation")}
    classes = None if schema.task is Task.REGRESSION else tuple(sorted(frames["train"][target].unique().to_list()))
    splits = []
    for frame in frames.values():
        values = frame[target].to_numpy().astype(np.float32) if classes is None else None
        codes = None if classes is None else np.array([classes.index(value) for value in frame[target]], dtype=np.int64)
        splits.append(Split(graph.transform(frame), values if codes is None else codes))
    module = framework(name)
    plan = module.plan(params)
    fit = module.train(TrainingData(*splits, graph.outputs, len(classes or ())), plan, seed=0)
    (folder / ESTIMATOR).mkdir(parents=True)
    fit.estimator.save(folder / ESTIMATOR)
    ModelMetadata(
        framework=name, algorithm=plan.algorithm, task=str(schema.task), target=target, classes=classes, params=plan.params,
        seed=0, features=[], training_rows=len(frames["train"]), validation_rows=len(frames["validation"]),
        data={split: tables.sha256(path) for split, path in paths.items() if split != "test"},
        libraries={"numpy": np.__version__}, schema=schema.model_dump(mode="json"), recipe=graph.hash, signature=graph.hash,
        best_iteration=fit.best_iteration,
    ).write(folder)  # fmt: skip


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

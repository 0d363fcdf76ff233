"""The images, and a whole run in them: `make test-images` builds and tests them; `make test` leaves this folder out."""

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from support.runs import Finished

from stagewright.components.images import GROUPS, image
from stagewright.components.runtime import tracking
from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.cli import run_command
from stagewright.pipelines.local import containers, results, services

CPU_GROUPS = [group for group in GROUPS if not group.endswith("-gpu")]


@pytest.fixture(params=CPU_GROUPS)
def group(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def built(group: str) -> str:
    return image(group)


@pytest.fixture(scope="session")
def telco_csv(telco: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "churn.csv"
    telco.write_csv(path)
    return path


@pytest.fixture(scope="session")
def docker_services(laptop: Path) -> Iterator[None]:
    """The object store and MLflow's server, as a run in containers starts them."""
    patch = pytest.MonkeyPatch()
    for name, value in services.environment(server=True).items():
        patch.setenv(name, value)
    run_command.prepare(server=True)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def finished(docker_services: None, telco_csv: Path) -> Iterator[Finished]:
    """`stagewright run train-model --runner docker` on Telco churn, deployed."""
    # As after a run in processes: the experiment is there, and root's.
    mlflow = os.environ["MLFLOW_TRACKING_URI"]
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{services.artifacts().parent / 'mlflow.db'}"
    with tracking.run("churn-in-containers", run_name="earlier") as earlier:
        earlier.log_artifacts(telco_csv.parent, "earlier")
    os.environ["MLFLOW_TRACKING_URI"] = mlflow
    arguments = {"data": str(telco_csv), "target": "churn", "name": "churn-in-containers", "slices": ["contract"]}
    run = containers.run(containers.prepare("train-model", arguments))
    yield Finished(run, results.collect(run))
    for service in deployments.services():
        deployments.stop(service.name)

"""Runs of whole pipelines on this machine, against real services."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.runs import Finished

from stagewright.pipelines.local import results, runner


@pytest.fixture(scope="session")
def run_pipeline(laptop: Path, object_store: str) -> Iterator[Callable[..., Finished]]:
    """Run a pipeline by name; models that it deploys are ended with the laptop."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(name: str, /, **arguments: Any) -> Finished:
        finished = runner.run(name, arguments)
        return Finished(finished, results.collect(finished))

    yield run
    patch.undo()


@pytest.fixture(scope="session")
def telco_csv(telco: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "churn.csv"
    telco.write_csv(path)
    return path

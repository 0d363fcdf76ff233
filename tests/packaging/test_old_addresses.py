"""Modules that scripts start or import by their old address answer there until 0.2."""

import subprocess
import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("components.serving.predictor.session", "components.predictor.inference.session"),
        ("components.serving.predictor.worker.formats", "components.predictor.mlflow_backend.formats"),
        ("pipelines.services", "pipelines.local.services"),
    ],
)
def test_an_old_address_is_the_new_module(old: str, new: str) -> None:
    assert import_module(f"stagewright.{old}") is import_module(f"stagewright.{new}")


def test_the_server_starts_by_its_old_address() -> None:
    command = [sys.executable, "-m", "stagewright.components.serving.predictor", "--help"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "--repository" in done.stdout

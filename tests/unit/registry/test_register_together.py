"""Registrations of one name by several processes at once: each gets a version of its own, and nothing is mixed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.exported_models import write_wine_model

from stagewright.components.registry import catalogue
from stagewright.components.runtime import tracking as tracker
from stagewright.components.runtime.content import content

TESTS = Path(__file__).parents[2]


@pytest.fixture
def client(tracking: str) -> MlflowClient:
    return tracker.client("a test looks")


def together(name: str, folders: Iterable[Path], go: Path) -> list[str]:
    """What processes answer that register these models under one name in the same moment."""
    command = [sys.executable, "-m", "support.registering", name]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    processes = [
        subprocess.Popen([*command, str(folder), str(go)], stdout=subprocess.PIPE, text=True, env=environment)
        for folder in folders
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return answers


def test_different_models_get_different_versions(client: MlflowClient, tmp_path: Path) -> None:
    folders = [write_wine_model(tmp_path / str(at), run_id="", data=f"data-{at}") for at in range(4)]

    versions = together("wine", folders, tmp_path / "go")

    assert sorted(versions) == ["v1.0.0", "v1.0.1", "v1.0.2", "v1.0.3"]
    known = {str(version.version): version for version in catalogue.versions(client, "wine")}
    assert len(client.search_model_versions("name = 'wine'")) == 4
    for folder, version in zip(folders, versions, strict=True):
        found = client.get_model_version("wine", known[version].number)
        assert known[version].digest == content(folder).digest == found.tags["digest"]
        assert found.tags["model_uri"].endswith(f"/wine/{version}/")
        files = Path(client.download_artifacts(found.run_id, found.source.rpartition(f"{found.run_id}/artifacts/")[2]))
        assert json.loads((files / "model.json").read_text()) == json.loads((folder / "model.json").read_text())
    [challenger] = [version for version in known.values() if version.aliases]
    assert challenger.aliases == ("challenger",)


def test_one_model_gets_one_version(client: MlflowClient, tmp_path: Path) -> None:
    folders = [write_wine_model(tmp_path / str(at), run_id="") for at in range(4)]

    assert together("wine", folders, tmp_path / "go") == ["v1.0.0"] * 4

    [only] = client.search_model_versions("name = 'wine'")
    assert client.get_model_version_by_alias("wine", "challenger").version == only.version

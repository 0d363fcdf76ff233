"""Registrations of one name by several processes at once: each gets a version of its own, and nothing is mixed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.exported_models import write_wine_model

from stagewright.components.registry import catalog
from stagewright.components.registry import register as registering
from stagewright.components.registry.register import register
from stagewright.components.registry.versions import Decision
from stagewright.components.runtime import tracking as tracker
from stagewright.components.runtime.errors import ServiceUnavailable
from stagewright.components.runtime.fingerprint import fingerprint

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
    known = {str(version.version): version for version in catalog.versions(client, "wine")}
    assert len(client.search_model_versions("name = 'wine'")) == 4
    for folder, version in zip(folders, versions, strict=True):
        found = client.get_model_version("wine", known[version].number)
        assert known[version].digest == fingerprint(folder).digest == found.tags["digest"]
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


def between(monkeypatch: pytest.MonkeyPatch, others: Callable[[], object], *, times: int = 1) -> None:
    """Let `others` happen after a registration has decided on its version, and before it enters that."""
    enter, left = registering._Entry.create, [times]

    def create(entry: Any, decision: Decision) -> str:
        if left[0]:
            left[0] -= 1
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(registering._Entry, "create", enter)
                others()
        return enter(entry, decision)

    monkeypatch.setattr(registering._Entry, "create", create)
    monkeypatch.setattr(registering, "PAUSE_SECONDS", 0.0)


def entered(client: MlflowClient) -> list[tuple[str, str]]:
    """Number and version of all that MLflow holds."""
    return sorted((str(one.version), one.tags["version"]) for one in client.search_model_versions("name = 'wine'"))


def test_the_second_of_two_that_enter_one_content_takes_its_own_back(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (write_wine_model(tmp_path / name, run_id="") for name in ("first", "second"))
    between(monkeypatch, lambda: register(first, name="wine"))

    assert register(second, name="wine") == "v1.0.0"

    assert entered(client) == [("1", "v1.0.0")]
    assert client.get_model_version_by_alias("wine", "challenger").version == 1


def test_the_second_of_two_that_enter_one_version_takes_the_next(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (write_wine_model(tmp_path / name, run_id="", data=name) for name in ("first", "second"))
    between(monkeypatch, lambda: register(first, name="wine"))

    assert register(second, name="wine") == "v1.0.1"

    assert entered(client) == [("1", "v1.0.0"), ("3", "v1.0.1")]
    assert client.get_model_version_by_alias("wine", "challenger").version == 3


def test_a_content_that_another_entered_as_another_version_is_taken_back(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others knew of a recipe in between, so the same content became v1.2.0 there, and here v1.0.1."""
    register(write_wine_model(tmp_path / "before", run_id=""), name="wine")
    here, there = (write_wine_model(tmp_path / name, run_id="", data="data-2") for name in ("here", "there"))
    recipe = write_wine_model(tmp_path / "recipe", run_id="", recipe="recipe-2")
    between(monkeypatch, lambda: [register(one, name="wine") for one in (recipe, there)])

    assert register(here, name="wine") == "v1.2.0"

    assert entered(client) == [("1", "v1.0.0"), ("2", "v1.1.0"), ("3", "v1.2.0")]


def test_who_is_always_second_gives_up(client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = iter(write_wine_model(tmp_path / f"rival-{at}", run_id="", data=f"rival-{at}") for at in range(2))
    monkeypatch.setattr(registering, "ATTEMPTS", 2)
    between(monkeypatch, lambda: register(next(rivals), name="wine"), times=2)

    with pytest.raises(ServiceUnavailable, match=r"^model 'wine' was not registered: others registered .* 2 times at the same"):
        register(write_wine_model(tmp_path / "late", run_id=""), name="wine")

    assert [version for _, version in entered(client)] == ["v1.0.0", "v1.0.1"]

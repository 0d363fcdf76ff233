"""The laptop's services: what one way of recording began, the other goes on with."""

from pathlib import Path

import psutil
import pytest

from stagewright.components.runtime import tracking
from stagewright.pipelines.local import services

pytestmark = pytest.mark.slow


def test_experiment_goes_on_with_mlflows_server_and_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("kept")
    services.up()
    try:
        with_server = services.environment()["MLFLOW_TRACKING_URI"]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", with_server)
        with tracking.run("churn") as first:
            first.log_artifacts(tmp_path / "files", "notes")
        server = services.find(services.TRACKING)
        assert server
        family = [one.cmdline() for one in psutil.Process(server.process.pid).children(recursive=True)]
    finally:
        services.down()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{services.artifacts().parent / 'mlflow.db'}")

    with tracking.run("churn") as second:
        second.log_artifacts(tmp_path / "files", "notes")

    assert family
    assert not [command for command in family if any("huey" in word for word in command)], "MLflow's job queues poll all day"
    assert with_server.startswith("http://127.0.0.1:")
    kept = [path.read_text() for path in services.artifacts().rglob("note.txt")]
    assert kept == ["kept", "kept"]
    assert first.run_id != second.run_id

"""Runs in a real MLflow: in SQLite, behind its own HTTP server, and behind nothing."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagewright.components.runtime import tracking
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running MLflow server."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *arguments, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    uri = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.3)
    yield uri
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database') / 'mlflow.db'}"


@pytest.fixture
def shared(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database for the tests that need no empty one: making its tables takes two seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


def record(folder: Path) -> tuple[tracking.Run, Path]:
    """A run with one of everything."""
    artifacts = folder / "model"
    (artifacts / "inner").mkdir(parents=True)
    (artifacts / "inner" / "file.txt").write_text("content")
    with tracking.run("churn study", run_name="first", parameters={"depth": 3}, tags={"kind": "test"}) as run:
        run.log_metrics({"loss": 0.5}, step=3)
        run.log_history([(step, {"epoch_loss": 1 / step, "share": 0.5}) for step in range(1, 801)])
        run.log_dataset("train", sha256="ab" * 32, context="train")
        run.log_artifacts(artifacts, "model")
    return run, artifacts


def check(run: tracking.Run, folder: Path) -> None:
    client = tracking.client("the test reads it")
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "first"
    assert stored.data.params == {"depth": "3"}
    assert stored.data.tags["kind"] == "test"
    assert stored.data.metrics == {"loss": 0.5, "epoch_loss": 1 / 800, "share": 0.5}
    history = client.get_metric_history(run.run_id, "epoch_loss")
    assert sorted((entry.step, entry.value) for entry in history) == [(step, 1 / step) for step in range(1, 801)]
    assert stored.inputs.dataset_inputs[0].dataset.digest == ("ab" * 32)[:36]
    downloaded = client.download_artifacts(run.run_id, "model/inner/file.txt", str(folder))
    assert Path(downloaded).read_text() == "content"


@pytest.mark.usefixtures("tracking")
def test_run_in_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    run, _ = record(tmp_path)

    check(run, elsewhere)
    # Artifacts are beside the database, and nothing was left in the folder that the step happened to run in.
    assert (tmp_path / "artifacts" / "churn_study" / run.run_id).is_dir()
    assert [path.name for path in elsewhere.iterdir()] == ["file.txt"]


def test_run_behind_a_server(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)

    run, _ = record(tmp_path / "made")

    (tmp_path / "read").mkdir()
    check(run, tmp_path / "read")


@pytest.mark.usefixtures("shared")
def test_run_that_raises_is_failed_and_the_error_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError), tracking.run("study") as run:
        raise ZeroDivisionError

    assert tracking.client("the test reads it").get_run(run.run_id).info.status == "FAILED"


@pytest.mark.usefixtures("shared")
def test_run_that_is_interrupted_is_killed() -> None:
    with pytest.raises(KeyboardInterrupt), tracking.run("study") as run:
        raise KeyboardInterrupt

    assert tracking.client("the test reads it").get_run(run.run_id).info.status == "KILLED"


@pytest.mark.usefixtures("shared")
def test_long_parameter_is_shortened_and_kept_whole(tmp_path: Path) -> None:
    with tracking.run("study", parameters={"long": "x" * 10_000}) as run:
        pass

    client = tracking.client("the test reads it")
    shown = client.get_run(run.run_id).data.params["long"]
    ending = " ... (all 10,000 characters: artifact whole/params/long.txt)"
    assert shown == "x" * (6000 - len(ending)) + ending
    assert Path(client.download_artifacts(run.run_id, "whole/params/long.txt", str(tmp_path))).read_text() == "x" * 10_000


@pytest.mark.usefixtures("shared")
def test_deleted_experiment_is_named() -> None:
    with tracking.run("old study") as run:
        pass
    run.client.delete_experiment(run.experiment_id)

    with (
        pytest.raises(InputError, match="experiment 'old study' is deleted in MLflow; restore it there"),
        tracking.run("old study"),
    ):
        pass


@pytest.mark.usefixtures("tracking")
def test_steps_that_begin_together_share_a_new_database() -> None:
    script = "from stagewright.components.runtime import tracking\nwith tracking.run('study'): pass"
    steps = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [step.communicate(timeout=120)[1] for step in steps]

    assert [step.returncode for step in steps] == [0, 0], errors
    client = tracking.client("the test reads it")
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 2


@pytest.mark.usefixtures("shared")
def test_nothing_is_written_to_the_terminal() -> None:
    script = "from stagewright.components.runtime import tracking\nwith tracking.run('study') as run: run.log_metrics({'a': 1})"

    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert finished.stdout + finished.stderr == ""


def test_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(MissingSetting, match="MLFLOW_TRACKING_URI not set; MLflow is needed here"):
        tracking.client("MLflow is needed here")


def test_dead_server_is_told_in_seconds_and_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable) as caught:
        tracking.client("MLflow is needed here")

    assert time.monotonic() - started < 10
    assert str(caught.value).startswith("MLflow does not answer at http://127.0.0.1:9 (")
    assert str(caught.value).endswith("; MLflow is needed here")
    assert "secret" not in str(caught.value)


def test_server_that_accepts_and_says_nothing_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()

        with pytest.raises(ServiceUnavailable, match=r"MLflow does not answer at http://127.*timed out"):
            tracking.client("MLflow is needed here")

        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/nowhere/mlflow.db", "postgresql://user:secret@127.0.0.1:9/mlflow", "gopher://x"]
)
def test_unusable_address_is_one_sentence(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises((ServiceUnavailable, InputError), match=r"; MLflow is needed here$") as caught:
        tracking.client("MLflow is needed here")

    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("tracking")
def test_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, and long enough to be looked at as one" * 10)

    with pytest.raises(ServiceUnavailable, match=r"file is not a database.*; MLflow is needed here$"):
        tracking.client("MLflow is needed here")

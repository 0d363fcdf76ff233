"""Wrong input at the command line: one sentence, the right exit code, no traceback, nothing published."""

import json
import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stagewright.pipelines.local import services

Command = Callable[..., subprocess.CompletedProcess[str]]
ROWS = [f"{i % 17},{random.Random(i).random():.4f},{'yes' if i % 3 else 'no'}" for i in range(200)]


@pytest.fixture
def command(laptop: Path, object_store: str, tmp_path: Path) -> Command:
    """Run `stagewright` in an empty folder; extra variables by keyword."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from stagewright.pipelines.cli.main import main; main()", *arguments]
        environment = {**os.environ, **variables}
        return subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def write(folder: Path, name: str, rows: list[str], encoding: str = "utf-8") -> str:
    (folder / name).write_bytes(("a,b,y\n" + "\n".join(rows) + "\n").encode(encoding))
    return name


def failure(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit code, failed step and its sentence of a `run --json`."""
    document = json.loads(done.stdout)
    assert document["status"] == "failed"
    assert document["steps"][-1] == {**document["steps"][-1], "name": document["error"]["step"], "status": "failed"}
    return done.returncode, document["error"]["step"], document["error"]["message"]


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "step", "sentence"),
    [
        (None, ["--data", "absent.csv"], 2, "ingest-data", "no file absent.csv"),
        ([], [], 2, "ingest-data", "data.csv has a header but no rows"),
        (
            [*ROWS[:1], "2,0.7,no,extra", *ROWS[1:]],
            [],
            2,
            "ingest-data",
            (
                "data.csv, line 3: expected 3 fields, found 4; correct the row, "
                "or set on_bad_row to quarantine to set such rows aside"
            ),
        ),
        (ROWS, ["--target", "yy"], 2, "validate-data", "target 'yy' is not a column of the data (did you mean 'y'?)"),
        (
            [row.replace("no", "yes") for row in ROWS],
            [],
            1,
            "validate-data",
            "the data did not pass: target 'y' has only one class, 'yes'; a model needs at least two",
        ),
    ],
    ids=["missing file", "no rows", "ragged", "no such target", "one class"],
)
def test_bad_data_is_one_sentence(
    command: Command, tmp_path: Path, rows: list[str] | None, arguments: list[str], code: int, step: str, sentence: str
) -> None:
    if rows is not None:
        write(tmp_path, "data.csv", rows)
    given = ["--data", "data.csv", "--target", "y", "--name", "wrong", "--deploy-to", "none", *arguments]

    done = command("run", "train-model", *given, "--json")

    assert failure(done) == (code, step, sentence)


def test_empty_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "data.csv").touch()

    done = command("run", "train-model", "--data", "data.csv", "--target", "y", "--name", "wrong", "--json")

    assert failure(done) == (2, "ingest-data", "data.csv is empty")


def test_wrong_encoding(command: Command, tmp_path: Path) -> None:
    write(tmp_path, "data.csv", [*ROWS[:5], "3,0.5,café", *ROWS[5:]], encoding="latin-1")

    done = command(
        "run", "train-model", "--data", "data.csv", "--target", "y", "--name", "wrong", "--encoding", "utf-8", "--json"
    )

    code, step, sentence = failure(done)
    assert (code, step) == (2, "ingest-data")
    assert sentence.startswith("data.csv, line 7: ")
    assert "utf-8" in sentence


def test_unknown_framework_is_refused_before_anything_runs(command: Command, tmp_path: Path) -> None:
    write(tmp_path, "data.csv", ROWS)

    done = command("run", "train-model", "--data", "data.csv", "--target", "y", "--name", "wrong", "--framework", "xgbost")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: parameter 'framework' is 'xgbost'; "
        "expected one of sklearn, xgboost, lightgbm, torch, torch_vision, transformers (did you mean 'xgboost'?)\n"
    )


def test_name_that_no_service_can_have(command: Command) -> None:
    done = command("run", "train-model", "--data", "data.csv", "--target", "y", "--name", "My Model")

    assert done.returncode == 2
    assert done.stderr.startswith("error: parameter 'name' is 'My Model'; expected lower-case letters")


def test_unknown_pipeline(command: Command) -> None:
    done = command("run", "train-modle")

    assert (done.returncode, done.stderr) == (
        2,
        "error: no pipeline 'train-modle' (did you mean 'train-model'?); run 'stagewright list' to see all\n",
    )


def test_wrong_secret_is_found_before_training(command: Command, tmp_path: Path) -> None:
    write(tmp_path, "data.csv", ROWS)

    done = command(
        "run", "train-model", "--data", "data.csv", "--target", "y", "--name", "wrong", AWS_SECRET_ACCESS_KEY="notthesecret"
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: the object store at \S+ refuses access .*; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY .*\n", done.stderr
    )


@pytest.mark.slow
def test_object_store_that_is_down_is_found_before_training(command: Command, tmp_path: Path) -> None:
    write(tmp_path, "data.csv", ROWS)

    done = command(
        "run", "train-model", "--data", "data.csv", "--target", "y", "--name", "wrong", AWS_ENDPOINT_URL="http://127.0.0.1:9"
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the object store at http://127.0.0.1:9 does not answer")


def test_settings_that_are_missing_are_named(command: Command, object_store: str) -> None:
    done = command(
        "run",
        "train-model",
        "--data",
        "x.csv",
        "--target",
        "y",
        "--name",
        "wrong",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
    )

    assert (done.returncode, done.stderr) == (
        2,
        "error: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set; models are published to the object store\n",
    )


def test_model_that_is_not_registered(command: Command) -> None:
    done = command("run", "serving-setup", "--model", "models:/absent@champion", "--name", "absent", "--json")

    code, step, sentence = failure(done)
    assert (code, step) == (2, "import-model")
    assert sentence.startswith("model 'absent' is not in the registry")


def test_port_that_is_taken(command: Command, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = command("up", "--mlflow-port", port, STAGEWRIGHT_HOME=str(tmp_path / "other"))
    command("down", STAGEWRIGHT_HOME=str(tmp_path / "other"))

    assert done.returncode == 2
    assert done.stderr == f"error: port {port} on 127.0.0.1 is already taken; mlflow needs a free one: choose another\n"


def test_object_store_runs_on(object_store: str) -> None:
    running = services.find(services.OBJECT_STORE)

    assert running is not None
    assert running.endpoint == object_store

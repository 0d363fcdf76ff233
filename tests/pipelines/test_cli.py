"""The command line as a person and as a script use it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from stagewright.pipelines import catalog

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def command(laptop: Path, object_store: str) -> Command:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from stagewright.pipelines.cli.main import main; main()", *arguments]
        return subprocess.run(
            program, env={**os.environ, "COLUMNS": "200", **variables}, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture(scope="module")
def trained(command: Command, telco_csv: Path) -> subprocess.CompletedProcess[str]:
    return command("run", "train-model", "--data", str(telco_csv), "--target", "churn", "--name", "cli-churn")


@pytest.mark.slow
def test_run_ends_with_what_was_produced(trained: subprocess.CompletedProcess[str]) -> None:
    assert trained.returncode == 0, trained.stdout + trained.stderr
    lines = trained.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("✔")][:3] == ["ingest-data", "validate-data", "split-data"]
    assert "cli-churn v1.0.0: done in" in trained.stdout
    report = next(line.split()[1] for line in lines if line.startswith("  report"))
    assert Path(report).read_text().startswith("<!doctype html>")
    assert "[KFP Executor" not in trained.stdout


@pytest.mark.slow
def test_curl_line_works_as_printed(trained: subprocess.CompletedProcess[str]) -> None:
    line = next(line for line in trained.stdout.splitlines() if line.startswith("curl "))

    answer = json.loads(subprocess.run(shlex.split(line), capture_output=True, text=True, check=True).stdout)

    assert answer["predictions"][0] in {"No", "Yes"}
    assert answer["model_version"] == "v1.0.0"


@pytest.mark.slow
def test_predict_answers_every_row(
    command: Command, trained: subprocess.CompletedProcess[str], telco_csv: Path, telco: pl.DataFrame, tmp_path: Path
) -> None:
    done = command("predict", "cli-churn", "--data", str(telco_csv), "--output", str(tmp_path / "answers.parquet"))

    assert (done.returncode, done.stderr) == (0, "")
    answers = pl.read_parquet(tmp_path / "answers.parquet")
    assert len(answers) == len(telco)
    assert (answers["prediction"] == telco["churn"]).mean() > 0.78
    assert answers["probability"].is_between(0.5, 1.0).all()


@pytest.mark.slow
def test_predict_keeps_the_identifier_and_what_is_asked_for(
    command: Command, trained: subprocess.CompletedProcess[str], telco: pl.DataFrame, tmp_path: Path
) -> None:
    inputs = [name for name in telco.columns if name != "churn"]
    rows = telco.head(3).with_columns(customer=pl.Series(["007", "008", "010"]), note=pl.Series(["a", "a", "b"]))
    rows.write_csv(tmp_path / "three.csv")
    asked = ("predict", "cli-churn", "--data", str(tmp_path / "three.csv"), "--output", str(tmp_path / "answers.csv"))

    def columns(*more: str) -> list[str]:
        assert command(*asked, *more).stderr == ""
        return pl.read_csv(tmp_path / "answers.csv", infer_schema=False).columns

    assert columns() == ["customer", "prediction", "probability"]
    assert pl.read_csv(tmp_path / "answers.csv", infer_schema=False)["customer"].to_list() == ["007", "008", "010"]
    assert columns("--id", "note") == ["note", "prediction", "probability"]
    assert columns("--id", "none", "--probabilities") == ["prediction", "probability", "probability_No", "probability_Yes"]
    each = pl.read_csv(tmp_path / "answers.csv")
    assert (each["probability_No"] + each["probability_Yes"]).round(6).to_list() == [1.0, 1.0, 1.0]
    assert (
        each["probability"].to_list()
        == each.select(pl.max_horizontal("probability_No", "probability_Yes")).to_series().to_list()
    )
    assert columns("--inputs") == ["customer", *inputs, "prediction", "probability"]
    refused = command(*asked, "--id", "custmer")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {tmp_path / 'three.csv'} has no column 'custmer' (did you mean 'customer'?); set --id to one of its columns\n"
    )


@pytest.mark.slow
def test_predict_names_a_column_that_is_missing(
    command: Command, trained: subprocess.CompletedProcess[str], telco: pl.DataFrame, tmp_path: Path
) -> None:
    telco.rename({"tenure": "tenur"}).head(3).write_csv(tmp_path / "few.csv")

    done = command("predict", "cli-churn", "--data", str(tmp_path / "few.csv"))

    assert done.returncode == 2
    assert done.stderr == (
        f"error: {tmp_path / 'few.csv'} has no column 'tenure' (did you mean 'tenur'?), an input of model 'cli-churn'\n"
    )


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(command: Command, telco_csv: Path) -> None:
    arguments = ["--data", str(telco_csv), "--target", "churn", "--name", "cli-json", "--deploy-to", "local", "--json"]

    done = command("run", "train-model", *arguments)

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (document["pipeline"], document["status"]) == ("train-model", "succeeded")
    assert {step["status"] for step in document["steps"]} == {"succeeded"}
    assert all(set(step) == {"name", "status", "seconds"} for step in document["steps"])
    outputs = document["outputs"]
    assert outputs["version"] == "v1.0.0"
    assert outputs["model_uri"] == "s3://models/cli-json/v1.0.0/"
    assert outputs["endpoint"].startswith("http://127.0.0.1:")
    assert Path(outputs["report"]).is_file()
    assert {"test", "validation", "train"} == set(outputs["metrics"])
    assert 0.8 < outputs["metrics"]["test"]["roc_auc"] < 0.95


@pytest.mark.slow
def test_services_start_show_and_end(command: Command, tmp_path: Path) -> None:
    own = {"STAGEWRIGHT_HOME": str(tmp_path), "AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}

    started = command("up", **own)
    shown = command("status", **own)
    ended = command("down", **own)
    after = command("status", **own)

    assert started.returncode == 0, started.stderr
    addresses = [line.split()[1] for line in started.stdout.splitlines() if "http://" in line]
    assert len(addresses) == 2
    assert all(address in shown.stdout for address in addresses)
    assert ended.stdout == "stopped mlflow, object-store\n"
    assert after.stdout.count("not running") == 2
    assert (tmp_path / "services" / "credentials.json").stat().st_mode & 0o077 == 0


def test_list_names_everything_there_is(command: Command) -> None:
    done = command("list", "--json")

    document = json.loads(done.stdout)
    assert set(document["pipelines"]) == set(catalog.PIPELINES)
    assert set(document["components"]) == set(catalog.COMPONENTS)
    assert all(summary for summaries in document.values() for summary in summaries.values())


def test_describe_shows_a_pipelines_steps(command: Command) -> None:
    done = command("describe", "train-model")

    assert done.returncode == 0
    assert all(step in done.stdout for step in ("ingest-data", "evaluate-model", "promote-model"))


def test_run_offers_each_parameter(command: Command) -> None:
    done = command("run", "train-model", "--help")

    assert done.returncode == 0
    for option in (
        "--data",
        "--target",
        "--params",
        "--split",
        "--time-column",
        "--minimum",
        "--no-compare-with-champion",
        "--json",
    ):
        assert option in done.stdout

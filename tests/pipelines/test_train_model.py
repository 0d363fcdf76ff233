"""The main job, run for real: versions, gates that shut, and what is kept of a run."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from support.runs import STEPS, Finished

from stagewright.components.runtime.storage import ObjectStore

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]


def test_same_data_again_changes_nothing_and_new_data_is_a_patch(
    run_pipeline: Run, telco_csv: Path, telco: pl.DataFrame, tmp_path: Path
) -> None:
    arguments = {
        "target": "churn",
        "name": "again",
        "framework": "xgboost",
        "deploy_to": "none",
        "compare_with_champion": False,
    }
    first = run_pipeline("train-model", data=str(telco_csv), **arguments)
    store = ObjectStore.from_environment("tests")
    published = {info.uri: info.etag for info in store.list("s3://models/again/")}
    second = run_pipeline("train-model", data=str(telco_csv), **arguments)
    telco.head(6500).write_csv(tmp_path / "less.csv")
    third = run_pipeline("train-model", data=str(tmp_path / "less.csv"), **arguments)

    assert [run.error for run in (first, second, third)] == ["", "", ""]
    assert first.steps == second.steps == STEPS
    assert [run.outputs["version"] for run in (first, second, third)] == ["v1.0.0", "v1.0.0", "v1.0.1"]
    assert {info.uri: info.etag for info in store.list("s3://models/again/v1.0.0/")} == published


def test_gate_stops_before_anything_is_published(run_pipeline: Run, telco_csv: Path) -> None:
    finished = run_pipeline("train-model", data=str(telco_csv), target="churn", name="gated", minimum={"roc_auc": 0.99})

    assert finished.steps == STEPS[:6]
    assert finished.run.status == "failed"
    assert finished.error.startswith("evaluate-model: model 'gated' did not pass: roc_auc ")
    assert "0.99" in finished.error
    assert finished.run.failed_step is not None
    assert finished.run.failed_step.exit_code == 1
    assert Path(finished.outputs["report"]).read_text().startswith("<!doctype html>")
    assert not ObjectStore.from_environment("tests").list("s3://models/gated/")


def test_gitops_writes_a_manifest_and_serves_nothing(run_pipeline: Run, telco_csv: Path, tmp_path: Path) -> None:
    finished = run_pipeline(
        "train-model", data=str(telco_csv), target="churn", name="delivered", deploy_to="gitops", gitops=str(tmp_path)
    )

    assert finished.error == ""
    written = tmp_path / "default/delivered"
    assert {path.name for path in written.iterdir()} == {"kustomization.yaml", "inference-service.yaml"}
    assert "storageUri: s3://models/delivered/v1.0.0\n" in (written / "inference-service.yaml").read_text()


def test_step_log_and_evaluation_are_kept(run_pipeline: Run, telco_csv: Path) -> None:
    finished = run_pipeline("train-model", data=str(telco_csv), target="churn", name="logged", deploy_to="none")

    events = [json.loads(line.strip()) for line in finished.run.log.read_text().splitlines() if '{"time"' in line]
    assert [event["step"] for event in events if event["event"] == "step_finished"] == [s.replace("-", "_") for s in STEPS]

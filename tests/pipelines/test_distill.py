"""Distillation from end to end on Telco churn: a forest of 500 trees becomes a few, and a bad student is turned away."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from support.runs import Finished, assert_served_equals_own

from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.local import results

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]
STEPS = [
    "ingest-data", "validate-data", "split-data", "import-model", "distill-model", "evaluate-model", "export-model",
    "write-model-card", "register-model", "publish-model",
]  # fmt: skip


@pytest.fixture(scope="module")
def forest(run_pipeline: Run, telco_csv: Path) -> Finished:
    """A published forest of 500 full-grown trees."""
    params = {"model": "random_forest", "n_estimators": 500}
    finished = run_pipeline(
        "train-model", data=str(telco_csv), target="churn", name="forest", framework="sklearn", params=params, deploy_to="none"
    )
    assert finished.error == ""
    return finished


def test_student_of_500_trees_is_served_in_their_place(
    run_pipeline: Run, forest: Finished, telco_csv: Path, telco: pl.DataFrame
) -> None:
    finished = run_pipeline(
        "distill", data=str(telco_csv), target="churn", name="sapling", teacher="models:/forest@challenger", student="trees",
        params={"n_estimators": 25, "num_leaves": 8, "learning_rate": 0.3}, minimum_speedup=2.0, tolerance=1.0,
    )  # fmt: skip

    assert finished.error == ""
    assert set(finished.steps) == {*STEPS, "deploy-model", "promote-model"}
    assert finished.outputs["version"] == "v1.0.0"
    found = json.loads(results.artifact(finished.run, "distill-model", "distillation").read_text())
    assert found["teacher"]["label"] == "forest (sklearn random_forest, 500 trees)"
    assert found["notes"] == []  # the same seed and fractions: the teacher has not seen the test rows
    assert found["test"]["speedup"]["batch"] >= 2
    teacher, student = (found["test"]["metrics"][who]["roc_auc"] for who in ("teacher", "student"))
    assert teacher - student <= 0.01
    assert_served_equals_own(finished, "sapling", telco.sample(300, seed=1))
    shown = Path(finished.outputs["distillation_report"]).read_text()
    assert "forest (sklearn random_forest, 500 trees)" in shown
    manifest = json.loads(ObjectStore.from_environment("tests").read("s3://models/sapling/v1.0.0/manifest.json"))
    assert manifest["lineage"]["data"]["teacher"] == found["teacher"]["digest"].removeprefix("sha256:")


def test_bad_student_is_turned_away(run_pipeline: Run, forest: Finished, telco_csv: Path) -> None:
    finished = run_pipeline(
        "distill", data=str(telco_csv), target="churn", name="stump", teacher="models:/forest@challenger", student="trees",
        params={"n_estimators": 1, "num_leaves": 2},
    )  # fmt: skip

    assert set(finished.steps) == set(STEPS[:5])
    assert finished.error.startswith(
        "distill-model: student 'trees' of forest (sklearn random_forest, 500 trees) did not pass: it loses "
    )
    assert Path(finished.outputs["distillation_report"]).read_text().startswith("<!doctype html>")
    assert not ObjectStore.from_environment("tests").list("s3://models/stump/")

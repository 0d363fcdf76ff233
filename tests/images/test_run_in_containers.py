"""`stagewright run --runner docker`: a whole pipeline in containers, and what it leaves."""

import json
from pathlib import Path

import polars as pl
import pytest
from support.docker import docker
from support.runs import STEPS, Finished, assert_served_equals_own

from stagewright.components.images import image
from stagewright.components.registry import catalog
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.local import containers, docker_steps, results


def test_every_step_runs_in_its_image_from_first_to_last(finished: Finished) -> None:
    assert finished.error == ""
    assert finished.steps == [*STEPS, "deploy-model", "promote-model"]

    log = finished.run.log.read_text()
    assert log.count(f"image {image('base')}\n") == 6
    assert log.count(f"image {image('tabular')}\n") == 4
    assert finished.outputs["metrics"]["test"]["roc_auc"] > 0.8


def test_input_travels_through_the_object_store(finished: Finished) -> None:
    source = next((finished.run.folder / "steps").glob("*/ingest-data/executor_output.json"))

    assert '"source": "s3://inputs/' in source.read_text()


def test_steps_see_what_the_backend_gives(finished: Finished) -> None:
    output = next((finished.run.folder / "steps").glob("*/ingest-data/executor_output.json"))

    table = json.loads(output.read_text())["artifacts"]["dataset"]["artifacts"][0]
    assert table["uri"] == f"s3://steps/{output.parent.relative_to(finished.run.folder / 'steps')}/dataset"
    log = finished.run.log.read_text()
    assert '"instanceSchema": ""' in log
    assert f'"outputFile": "/s3/steps/{output.relative_to(finished.run.folder / "steps")}"' in log


def test_steps_are_not_root_and_their_outputs_can_be_read_here(finished: Finished) -> None:
    table = results.artifact(finished.run, "ingest-data", "dataset")

    assert table.stat().st_uid != 0
    assert pl.read_parquet(table).height == 7043


def test_model_is_published_and_champion(finished: Finished) -> None:
    assert finished.outputs["version"] == "v1.0.0"
    assert str(catalog.version_of("churn-in-containers", "champion").version) == "v1.0.0"
    assert ObjectStore.from_environment("tests read the model").exists(f"{finished.outputs['model_uri']}manifest.json")


def test_deployed_container_has_no_right_that_it_does_not_need(finished: Finished) -> None:
    port = deployments.find_deployment("churn-in-containers").port
    facts = json.loads(docker("inspect", f"stagewright-churn-in-containers-{port}"))[0]

    host = facts["HostConfig"]
    assert facts["Config"]["User"] == "65532:65532"
    assert facts["Config"]["Image"] == image("predictor")
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]) == (True, ["ALL"], ["no-new-privileges"])
    assert host["Memory"] == 512 * 1024**2


def test_served_answers_are_the_models_own(finished: Finished, telco: pl.DataFrame) -> None:
    assert_served_equals_own(finished, "churn-in-containers", telco.drop("churn").sample(500, seed=1))


def test_missing_image_is_one_sentence(telco_csv: Path, monkeypatch: pytest.MonkeyPatch, docker_services: None) -> None:
    monkeypatch.setattr("stagewright.components.images.version", lambda _: "0.0.0")

    with pytest.raises(InputError, match=r"^image stagewright-predictor:0\.0\.0 is not on this machine; build it with"):
        containers.prepare("train-model", {"data": str(telco_csv), "target": "churn", "name": "churn"})


def test_docker_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, docker_services: None) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    with pytest.raises(
        ServiceUnavailable, match=r"^Docker does not respond at unix:///nonexistent/docker.sock \(not running\)"
    ):
        containers.prepare("train-model", {"data": "s3://data/churn.csv", "target": "churn", "name": "churn"})


def test_tracking_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, docker_services: None) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////tmp/mlflow.db")

    with pytest.raises(InputError, match="which containers cannot read"):
        containers.prepare("train-model", {"data": "s3://data/churn.csv", "target": "churn", "name": "churn"})


def test_exit_code_of_a_container_is_never_lost(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sh", "-c", "echo gate said no; exit 3"]

    docker = docker_steps.connect()
    codes = [docker_steps.run_container(docker, image("base"), command, {}, network_mode="none") for _ in range(10)]

    assert codes == [3] * 10
    assert capsys.readouterr().out.count("gate said no\n") == 10


def test_a_step_that_fails_in_its_container_says_why(docker_services: None, telco_csv: Path) -> None:
    prepared = containers.prepare("train-model", {"data": str(telco_csv), "target": "nothing", "name": "churn-fails"})

    run = containers.run(prepared)

    assert run.status == "failed"
    assert [step.name for step in run.steps] == ["ingest-data", "validate-data"]
    assert "nothing" in run.failed_step.error
    assert run.failed_step.exit_code in {1, 2}

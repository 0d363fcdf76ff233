"""Runs in containers, as far as no container is needed."""

import json
from pathlib import Path

import pytest

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.local import container_inputs, containers, docker_steps
from stagewright.pipelines.pipeline_spec import spec_of


def test_local_file_goes_to_the_object_store_under_a_name_made_of_its_content(object_store: str, tmp_path: Path) -> None:
    (tmp_path / "churn.csv").write_text("a,b\n1,2\n")

    first = container_inputs.share_inputs({"data": str(tmp_path / "churn.csv"), "target": "b"})
    again = container_inputs.share_inputs({"data": str(tmp_path / "churn.csv"), "target": "b"})
    (tmp_path / "churn.csv").write_text("a,b\n1,3\n")
    other = container_inputs.share_inputs({"data": str(tmp_path / "churn.csv"), "target": "b"})

    assert first == again
    assert first["data"] != other["data"]
    assert first["data"].endswith("/churn.csv")
    assert ObjectStore.from_environment("tests read it").read(first["data"]) == b"a,b\n1,2\n"


@pytest.mark.parametrize("pattern", ["", "*.csv"])
def test_several_files_become_a_prefix(object_store: str, tmp_path: Path, pattern: str) -> None:
    for name in ("2025.csv", "2026.csv"):
        (tmp_path / name).write_text(f"year\n{name[:4]}\n")

    shared = container_inputs.share_inputs({"data": str(tmp_path / pattern)})["data"]

    found = ObjectStore.from_environment("tests list it").list(shared)
    assert shared.endswith("/")
    assert sorted(info.uri.removeprefix(shared) for info in found) == ["2025.csv", "2026.csv"]


@pytest.mark.parametrize("data", ["s3://data/churn.csv", "https://example.com/churn.csv", "postgresql://db/churn"])
def test_addresses_stay_as_they_are(data: str) -> None:
    assert container_inputs.share_inputs({"data": data, "model": "models:/churn@champion"}) == {
        "data": data,
        "model": "models:/churn@champion",
    }


@pytest.mark.parametrize("arguments", [{"data": "sqlite:///churn.db"}, {"model": "."}])
def test_what_a_container_cannot_see_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(InputError, match="which containers cannot read"):
        container_inputs.share_inputs(arguments)


def test_predictor_gets_no_right_and_its_command_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, object_store: str
) -> None:
    (tmp_path / "docker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-show")

    command = docker_steps.predictor_command("churn", "v1.0.0", "s3://models/churn/v1.0.0/", 8081)

    assert "do-not-show" not in " ".join(command)
    assert "--env=AWS_SECRET_ACCESS_KEY" in command
    assert {"--read-only", "--user=65532:65532", "--memory=512m", "--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(
        command
    )


def test_torch_runs_in_the_image_that_has_it() -> None:
    def images(framework: str) -> set[str]:
        spec, _ = spec_of(containers.pipeline_with_images("train-model", {"framework": framework}))
        return {part["container"]["image"].split(":")[0] for part in spec["deploymentSpec"]["executors"].values()}

    assert images("xgboost") == {"stagewright-base", "stagewright-tabular"}
    assert images("torch") == {"stagewright-base", "stagewright-torch"}


@pytest.mark.parametrize("host", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:9"])
def test_no_docker_is_one_sentence(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)

    with pytest.raises(
        ServiceUnavailable, match=f"^Docker does not respond at {host} .*; start it, or run without --runner docker$"
    ):
        docker_steps.connect()


def test_a_step_finds_its_run_where_the_launcher_mounts_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, laptop: Path
) -> None:
    from kfp.local import docker_task_handler

    steps, seen = tmp_path / "steps", []
    monkeypatch.setattr(docker_steps, "run_container", lambda *given, **_: seen.append(given) or 0)
    outputs = {"outputFile": "/s3/steps/a/out.json", "parameters": {"Output": {"outputFile": "/s3/steps/a/Output"}}}
    command = ["sh", "--executor_input", json.dumps({"outputs": outputs})]
    volumes = {str(steps): {"bind": str(steps), "mode": "rw"}, "/work": {"bind": "/kfp-workspace", "mode": "rw"}}

    with docker_steps.own_containers(steps):
        (steps / "a").mkdir()
        missing = docker_task_handler.run_docker_container(None, "image", command, volumes)
        (steps / "a/Output").write_text("3")
        there = docker_task_handler.run_docker_container(None, "image", command, volumes)

    assert (missing, there) == (1, 0)
    bound = {str(steps): {"bind": "/s3/steps", "mode": "rw"}, "/work": {"bind": "/kfp-workspace", "mode": "rw"}}
    assert [given[3] for given in seen] == [bound, bound]


def test_a_step_that_is_named_as_its_pipeline_keeps_its_name() -> None:
    spec, _ = spec_of(containers.pipeline_with_images("train-model", {"framework": "xgboost"}))

    assert spec["root"]["dag"]["tasks"]["train-model"]["componentRef"] == {"name": "comp-train-model"}

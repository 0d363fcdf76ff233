"""A redeploy of a model on this machine: the same port, and no request refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.exported_models import write_wine_model
from support.hammer import hammering

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.serving import client
from stagewright.components.serving.targets import deployments, local

ROW = [[13.0] * 13]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of our own, in which nothing runs afterwards."""
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for deployment in local.services():
        processes.stop(deployment.process)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose baseline says something else than it does."""
    return write_wine_model(tmp_path_factory.mktemp("other") / "model", wrong_baseline=True)


def serve(model: Path, version: str) -> local.Deployment:
    baseline = (model / "serving/baseline.parquet").read_bytes()
    return local.deploy(name="wine", version=version, model_uri=str(model), baseline=baseline, timeout=30.0)


def test_no_request_is_refused_during_redeploys(model: Path, liar: Path) -> None:
    first = serve(model, "v1.0.0")
    with hammering(first.endpoint, "wine", ROW) as hammer:
        hammer.wait_for(300)
        second = serve(model, "v1.1.0")
        hammer.wait_for(300)
        with pytest.raises(
            GateFailed, match=r"the deployment of model 'wine' v1\.2\.0 did not pass: the smoke test of model 'wine'"
        ):
            serve(liar, "v1.2.0")
        hammer.wait_for(300)
        third = serve(model, "v1.3.0")
        hammer.wait_for(300)

    assert (hammer.lost, hammer.statuses) == ([], {200})
    assert sum(one.refused for one in hammer.seen) == 0
    assert hammer.versions() == [["v1.0.0", "v1.1.0", "v1.3.0"]] * 8  # the one that failed its test was never answered
    assert {deployment.port for deployment in (first, second, third)} == {first.port}
    assert local.services() == [third]


def test_the_same_version_from_another_place(model: Path, tmp_path: Path) -> None:
    first = serve(model, "v1.0.0")
    copy = write_wine_model(tmp_path / "copy")

    second = serve(copy, "v1.0.0")

    assert second.process == first.process
    assert second.model_uri == str(copy)


def test_a_deployment_recorded_by_an_older_release_is_replaced_by_a_new_process(model: Path) -> None:
    old = serve(model, "v1.0.0")
    state = deployments.folder("wine") / deployments.STATE
    document = json.loads(state.read_text())
    old_fields = {key: value for key, value in document.items() if key not in ("entries", "environment_fingerprint")}
    state.write_text(json.dumps(old_fields | {"surroundings": document["environment_fingerprint"]}))
    assert local.find_deployment("wine") is not None

    new = serve(model, "v1.1.0")

    assert new.process != old.process
    assert (old.alive, new.alive) == (False, True)
    assert client.predict(new.endpoint, "wine", ROW).model_version == "v1.1.0"
    assert serve(model, "v1.2.0").process == new.process  # from then on versions change in place


def test_another_object_store_needs_another_process(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = serve(model, "v1.0.0")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    new = serve(model, "v1.1.0")

    assert new.process != old.process
    assert not old.alive


def test_a_process_that_does_not_answer_is_replaced(model: Path) -> None:
    import os
    import signal

    old = serve(model, "v1.0.0")
    os.kill(old.process.pid, signal.SIGSTOP)

    baseline = (model / "serving/baseline.parquet").read_bytes()
    new = local.deploy(name="wine", version="v1.1.0", model_uri=str(model), baseline=baseline, timeout=10.0)

    assert new.process != old.process
    assert client.predict(new.endpoint, "wine", ROW).model_version == "v1.1.0"
    assert not old.alive


def test_a_process_started_again_serves_what_is_recorded(model: Path) -> None:
    serve(model, "v1.0.0")
    old = serve(model, "v1.1.0")
    processes.stop(old.process)

    new = serve(model, "v1.2.0")

    assert new.port == old.port
    assert client.predict(new.endpoint, "wine", ROW).model_version == "v1.2.0"

"""The local target: real predictor processes, one after the other."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.exported_models import write_wine_model

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.serving import client
from stagewright.components.serving.targets import local


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
def baseline(model: Path) -> bytes:
    return (model / "serving/baseline.parquet").read_bytes()


@pytest.fixture(scope="module")
def wrong_baseline(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    other = write_wine_model(tmp_path_factory.mktemp("other") / "model", wrong_baseline=True)
    return (other / "serving/baseline.parquet").read_bytes()


def serve(model: Path, baseline: bytes | None, version: str = "v1.0.0") -> local.Deployment:
    return local.deploy(name="wine", version=version, model_uri=str(model), baseline=baseline, timeout=30.0)


def test_a_model_is_served_and_recorded(model: Path, baseline: bytes) -> None:
    deployment = serve(model, baseline)

    assert local.services() == [deployment]
    assert deployment.alive
    test = client.smoke_test(deployment.endpoint, "wine", baseline)
    assert test.rows > 50


def test_the_process_is_detached(model: Path, baseline: bytes) -> None:
    deployment = serve(model, baseline)

    assert os.getsid(deployment.process.pid) == deployment.process.pid != os.getsid(0)


def test_a_new_version_takes_the_place_of_the_old_one(model: Path, baseline: bytes) -> None:
    old = serve(model, baseline)

    new = serve(model, baseline, "v1.0.1")

    assert (new.process, new.port) == (old.process, old.port)
    assert client.predict(new.endpoint, "wine", [[1.0] * 13]).model_version == "v1.0.1"
    assert local.services() == [new]


def test_the_same_version_goes_on(model: Path, baseline: bytes) -> None:
    assert serve(model, baseline) == serve(model, baseline)


def test_wrong_answers_leave_the_old_version_serving(model: Path, baseline: bytes, wrong_baseline: bytes) -> None:
    old = serve(model, baseline)

    with pytest.raises(GateFailed, match=r"the deployment of model 'wine' v2.0.0 did not pass: .*row 0 is answered '0'"):
        serve(model, wrong_baseline, "v2.0.0")

    assert old.alive
    assert local.services() == [old]
    client.wait_until_ready(old.endpoint, "wine", 1.0)


@pytest.fixture
def damaged(model: Path, tmp_path: Path) -> Path:
    """A model whose graph cannot be read."""
    serving = tmp_path / "damaged" / "serving"
    serving.mkdir(parents=True)
    (serving / "model.onnx").write_bytes(b"no graph")
    (serving / "signature.json").write_bytes((model / "serving/signature.json").read_bytes())
    return serving.parent


def test_a_first_model_that_does_not_load_is_told_in_the_predictors_words(damaged: Path) -> None:
    with pytest.raises(
        GateFailed, match=r"the predictor ended; its log ends with: .*cannot be loaded.*\(.*predictor-\d+.log\)"
    ):
        serve(damaged, None)

    assert local.services() == []


def test_a_model_that_does_not_load_is_told_in_the_predictors_words(model: Path, baseline: bytes, damaged: Path) -> None:
    old = serve(model, baseline)

    with pytest.raises(
        GateFailed, match=r"model 'wine' was not loaded: model.onnx .*cannot be loaded: .*; v1.0.0 goes on serving"
    ):
        serve(damaged, None, "v2.0.0")

    assert local.services() == [old]
    assert old.alive


def test_stop_ends_the_process(model: Path, baseline: bytes) -> None:
    deployment = serve(model, baseline)

    assert local.stop("wine")

    assert not deployment.alive
    assert local.services() == []


def test_stopping_what_is_not_deployed_names_what_is(model: Path, baseline: bytes) -> None:
    serve(model, baseline)

    with pytest.raises(InputError, match=r"no model 'wines' is deployed here \(did you mean 'wine'\?\); there are: wine"):
        local.stop("wines")


def test_a_taken_port_is_told(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is already taken; the predictor needs a free one"):
            local.deploy(name="wine", version="v1.0.0", model_uri=str(model), port=port)


def test_the_port_of_a_process_that_ended_is_used_again(model: Path, baseline: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    first = local.deploy(name="wine", version="v1.0.0", model_uri=str(model), baseline=baseline, port=port)
    processes.stop(first.process)

    assert serve(model, baseline).port == port


def test_a_record_of_a_reused_pid_is_not_alive(model: Path, baseline: bytes) -> None:
    deployment = serve(model, baseline)
    state = local.folder("wine") / local.STATE
    text = state.read_text()
    state.write_text(text.replace(f'"pid": {deployment.process.pid}', f'"pid": {os.getpid()}'))

    found = local.find_deployment("wine")
    assert found is not None
    assert not found.alive

    state.write_text(text)


def test_a_damaged_record_is_no_deployment(home: Path) -> None:
    (home / "deployments/wine").mkdir(parents=True)
    (home / "deployments/wine/state.json").write_text("{")

    assert local.services() == []


def test_a_name_that_no_service_can_have_is_refused(model: Path) -> None:
    with pytest.raises(BadParameter, match=r"parameter 'name' is '../wine'"):
        local.deploy(name="../wine", version="v1.0.0", model_uri=str(model))


def test_port_that_is_taken_between_the_look_and_the_start_is_given_up(
    model: Path, baseline: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        looks = iter([port, processes.free_port()])
        monkeypatch.setattr(local, "_port", lambda before, wanted: next(looks))

        deployment = serve(model, baseline)

    assert deployment.alive
    assert deployment.port != port

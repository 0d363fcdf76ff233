"""MLflow models without a graph: served by their own library in a process of its own, whose end nobody suffers from."""

import asyncio
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from support import mlflow_models, trainings
from support.asgi_client import AsgiClient

from stagewright.components.export.import_model import import_model
from stagewright.components.predictor import model_source
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.mlflow_backend import frames as mlflow_frames
from stagewright.components.predictor.mlflow_backend import model as mlflow_model
from stagewright.components.predictor.mlflow_backend.heartbeat import LONGEST_LOOK_SECONDS, Heartbeat
from stagewright.components.predictor.mlflow_backend.model import MlflowModel, ModelRestarting, ModelTooSlow, RowsRefused
from stagewright.components.predictor.mlflow_backend.process import ModelProcess
from stagewright.components.predictor.mlflow_backend.restarter import Restarter
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.publish import publish

CLASSIFIERS = ["sklearn_wine", "xgboost_wine", "lightgbm_classifier"]
BOOSTERS = ["xgboost_booster", "lightgbm_booster"]
REGRESSORS = ["sklearn_houses", "lightgbm_houses"]


@cache
def saved(name: str) -> Path:
    """A model as MLflow saved it."""
    made: Path = getattr(mlflow_models, name)(Path(mkdtemp(prefix="mlflow-")) / name)
    return made


@cache
def imported(name: str) -> Path:
    """The same after import_model."""
    folder = Path(mkdtemp(prefix="imported-"))
    import_model(str(saved(name)), folder)
    return folder


def rows_of(name: str) -> pd.DataFrame:
    frame = mlflow_models.houses()[0] if "houses" in name else mlflow_models.wines()[0]
    return frame[["rooms", "area", "garden"]] if name == "lightgbm_houses" else frame


def as_json(frame: pd.DataFrame) -> list[Any]:
    rows: list[Any] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


@pytest.fixture
def load() -> Iterator[Callable[..., MlflowModel]]:
    """Load an imported model; its process ends with the test."""
    loaded: list[MlflowModel] = []

    def begin(name: str) -> MlflowModel:
        model = mlflow_model.load_mlflow_model(model_source.read(str(imported(name))), "model")
        loaded.append(model)
        return model

    yield begin
    for model in loaded:
        model.close()


@pytest.fixture(scope="module")
def running() -> Iterator[AsgiClient]:
    """A served model for tests that leave its process as it is."""
    model = mlflow_model.load_mlflow_model(model_source.read(str(imported("sklearn_wine"))), "model")
    yield serve(model)
    model.close()


def serve(model: MlflowModel) -> AsgiClient:
    application = Application(model.name)
    application.models.serve(model)
    return AsgiClient(application)


def feeds(name: str, rows: int = 2) -> dict[str, np.ndarray]:
    frame = rows_of(name).head(rows)
    return {column: frame[[column]].to_numpy(np.float64) for column in frame}


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", [*CLASSIFIERS, *BOOSTERS, *REGRESSORS])
def test_answers_are_those_of_mlflow(load: Callable[..., MlflowModel], name: str) -> None:
    frame = rows_of(name)
    own = np.asarray(mlflow.pyfunc.load_model(str(saved(name))).predict(frame))
    client = serve(load(name))

    answer = client.post("/v1/models/model:predict", {"instances": as_json(frame)}).json

    if name in CLASSIFIERS:
        assert answer["predictions"] == own.tolist()
        raw = mlflow.pyfunc.load_model(str(saved(name))).get_raw_model()
        np.testing.assert_allclose(answer["probabilities"], raw.predict_proba(frame), rtol=1e-6, atol=1e-7)
    elif name in BOOSTERS:
        probabilities = np.asarray(answer["probabilities"])
        np.testing.assert_allclose(probabilities if own.ndim == 2 else probabilities[:, 1], own, rtol=1e-6, atol=1e-7)
        assert answer["predictions"] == (own.argmax(axis=1) if own.ndim == 2 else (own >= 0.5).astype(int)).tolist()
    else:
        np.testing.assert_allclose(answer["predictions"], own, rtol=1e-6)


def test_a_model_of_ours_that_was_not_exported_is_served(telco: pl.DataFrame, tracking: str, tmp_path: Path) -> None:
    data = trainings.split(tmp_path, telco.head(800), "churn", Task.BINARY)
    folder = data.model(tmp_path / "model", "sklearn", {"model": "linear"})
    rows = telco.head(40).drop("churn")
    own = mlflow.pyfunc.load_model(str(folder)).predict(rows.to_pandas())

    import_model(str(folder), tmp_path / "imported")
    model = mlflow_model.load_mlflow_model(model_source.read(str(tmp_path / "imported")), "churn")
    answer = serve(model).post("/v1/models/churn:predict", {"instances": rows.to_dicts()}).json
    model.close()

    assert answer["predictions"] == own["label"].tolist()
    np.testing.assert_allclose(np.asarray(answer["probabilities"])[:, 1], own["probability_Yes"], atol=1e-6)


def test_an_import_tells_columns_classes_and_the_model_s_own_answers() -> None:
    signature = model_source.read(str(imported("sklearn_houses"))).signature
    kinds = {column["name"]: (column["kind"], column["nullable"]) for column in json.loads(signature)["inputs"]}
    worker = json.loads((imported("sklearn_houses") / "serving/worker.json").read_text())
    baseline = pd.read_parquet(imported("lightgbm_classifier") / "serving/baseline.parquet")

    assert kinds == {
        "city": ("categorical", True), "rooms": ("numeric", False), "area": ("numeric", True), "garden": ("boolean", False),
    }  # fmt: skip
    assert worker["flavor"] == "sklearn"
    assert baseline["__label__"].tolist() == ["a", "a"]
    assert baseline["__probability_0__"].between(0.5, 1).all()


def test_numbers_keep_their_width(load: Callable[..., MlflowModel]) -> None:
    client = serve(load("lightgbm_houses"))
    columns = client.application.models.find("model").model.columns

    assert columns.feeds([(3, 0.1, True)])["area"].tolist() == [[0.1]]
    tensor = columns.find("area").from_array("FP64", np.array([0.1, np.nan]), [2])
    assert tensor.dtype == np.float64
    assert tensor[0, 0] == 0.1
    assert columns.find("rooms").from_array("INT64", np.array([2**40 + 1]), [1]).tolist() == [[2**40 + 1]]
    reply = client.post("/v1/models/model:predict", {"instances": [{"rooms": "many", "area": 1, "garden": True}]})
    assert (reply.status, reply.json["error"]) == (400, "column 'rooms', row 0: 'many' is not a number")
    reply = client.post("/v1/models/model:predict", {"instances": [{"rooms": None, "area": 1, "garden": True}]})
    assert (reply.status, reply.json["error"]) == (400, "column 'rooms', row 0: no value, and the model needs one")


def test_it_says_what_it_is(running: AsgiClient) -> None:
    metadata = running.get("/v2/models/model").json

    assert metadata["inputs"][0] == {"name": "alcohol", "datatype": "FP32", "shape": [-1, 1]}
    assert [output["name"] for output in metadata["outputs"]] == ["label", "probabilities"]
    assert metadata["parameters"]["framework"] == "sklearn"


def predicting(client: AsgiClient, body: bytes, times: int) -> list[int]:
    """Statuses of so many requests at once."""

    async def all_of_them() -> list[int]:
        calls = [client.call("POST", "/v1/models/model:predict", [body], {}) for _ in range(times)]
        return [answer.status for answer in await asyncio.gather(*calls)]

    return asyncio.run(all_of_them())


def test_the_process_that_is_killed_is_started_again(load: Callable[..., MlflowModel]) -> None:
    model = load("sklearn_wine")
    client = serve(model)
    body = {"instances": as_json(rows_of("sklearn_wine").head(1))}
    assert client.post("/v1/models/model:predict", body).status == 200
    killed = model.pid
    assert killed is not None

    os.kill(killed, signal.SIGKILL)
    until(lambda: model.pid is None)
    reply = client.post("/v1/models/model:predict", body)

    assert reply.status == 503
    assert re.fullmatch(
        r"the process of model 'model' has ended, and is being started again; try again in \d+ seconds?", reply.json["error"]
    )
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    until(lambda: client.post("/v1/models/model:predict", body).status == 200)
    assert model.pid != killed


def test_what_a_killed_process_was_asked_is_asked_of_the_next(load: Callable[..., MlflowModel]) -> None:
    model = load("sklearn_wine")
    killed = model.pid or 0
    body = json.dumps({"instances": as_json(rows_of("sklearn_wine").head(1))}).encode()
    os.kill(killed, signal.SIGSTOP)
    killing = threading.Timer(0.5, os.kill, (killed, signal.SIGKILL))
    killing.start()

    statuses = predicting(serve(model), body, 6)

    killing.join()
    assert statuses == [200] * 6
    assert model.pid not in (None, killed)


def kept(first: MlflowModel, start: Callable[[], ModelProcess]) -> MlflowModel:
    """The same model with a process of its own, whose successors are started in another way."""
    folder = imported("sklearn_wine")
    process = ModelProcess(folder, "model")
    process.ready()
    return MlflowModel("model", None, first.signature, Restarter("model", process, start))


def stop_and_kill(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(seconds, os.kill, (pid, signal.SIGKILL)).start()


def test_rows_that_end_two_processes_are_refused(running: AsgiClient) -> None:
    def start() -> ModelProcess:
        process = ModelProcess(imported("sklearn_wine"), "model")
        process.ready()
        stop_and_kill(process.pid, 1.0)  # it is asked meanwhile, and answers as little as the one before
        return process

    model = kept(running.application.models.find("model").model, start)
    stop_and_kill(model.pid or 0, 0.3)

    with pytest.raises(ModelRestarting, match=r"ended twice while it computed these rows, which may be what ends it") as error:
        model.run(feeds("sklearn_wine"))

    assert (error.value.status, error.value.retry_after >= 1) == (503, True)
    model.close()


def test_rows_whose_process_finds_no_successor_are_told_soon(running: AsgiClient) -> None:
    def start() -> ModelProcess:
        raise InputError("there is not enough memory")

    model = kept(running.application.models.find("model").model, start)
    stop_and_kill(model.pid or 0, 0.3)

    with pytest.raises(ModelRestarting, match=r"ended while it computed these rows, and is being started again; try again in"):
        model.run(feeds("sklearn_wine"))

    model.close()


def test_a_process_that_hangs_while_nobody_asks_is_replaced(
    load: Callable[..., MlflowModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WORKER_SILENCE_SECONDS", "4")
    model = load("sklearn_wine")
    hanging = model.pid or 0

    os.kill(hanging, signal.SIGSTOP)

    until(lambda: model.pid not in (None, hanging), 60)
    assert not runs(hanging)


def test_what_a_hanging_process_was_asked_is_asked_of_the_next(
    load: Callable[..., MlflowModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WORKER_SILENCE_SECONDS", "4")
    model = load("sklearn_wine")
    hanging = model.pid or 0
    os.kill(hanging, signal.SIGSTOP)

    assert len(model.run(feeds("sklearn_wine"))["label"]) == 2

    assert model.pid not in (None, hanging)
    assert not runs(hanging)


def test_a_parent_that_did_not_listen_blames_nobody() -> None:
    heartbeat = Heartbeat()
    heartbeat._looked -= 3600  # as if this process had been stopped for an hour

    assert heartbeat.seconds_since_last() <= LONGEST_LOOK_SECONDS
    os.write(heartbeat.child_end, b".")
    assert heartbeat.seconds_since_last() == 0
    heartbeat.close_child_end()
    heartbeat.close()


def test_a_process_that_hangs_holds_up_nobody_else(running: AsgiClient) -> None:
    client = running
    body = json.dumps({"instances": as_json(rows_of("sklearn_wine").head(1))}).encode()
    pid = running.application.models.find("model").model.pid

    async def both() -> tuple[int, float]:
        hanging = [asyncio.create_task(client.call("POST", "/v1/models/model:predict", [body], {})) for _ in range(4)]
        longest = 0.0
        for _ in range(20):
            began = time.perf_counter()
            assert (await client.call("GET", "/v2/health/live", [b""], {})).status == 200
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(0.02)
        os.kill(pid, signal.SIGCONT)
        return [(await one).status for one in hanging].count(200), longest

    for _ in range(30):  # however short its answers were measured to be
        client.post("/v1/models/model:predict", body=body)
    os.kill(pid, signal.SIGSTOP)
    answered, longest = asyncio.run(both())

    assert answered == 4
    assert longest < 10  # the process would hang for good


def test_a_process_that_takes_too_long_is_replaced(load: Callable[..., MlflowModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WORKER_SECONDS", "0.5")
    model = load("sklearn_wine")
    slow = model.pid or 0
    os.kill(slow, signal.SIGSTOP)

    with pytest.raises(ModelTooSlow, match=r"did not answer within 0.5 seconds; send fewer rows at once") as error:
        model.run(feeds("sklearn_wine"))

    assert error.value.status == 504
    until(lambda: model.pid not in (None, slow))
    assert not runs(slow)
    assert len(model.run(feeds("sklearn_wine"))["label"]) == 2


def test_a_process_that_grows_too_large_is_replaced(load: Callable[..., MlflowModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WORKER_MEMORY_MB", "10")
    model = load("sklearn_wine")
    large = model.pid or 0

    until(lambda: model.pid != large)

    assert not runs(large)


def test_rows_that_the_library_refuses_are_the_request_s_fault(running: AsgiClient) -> None:
    model = running.application.models.find("model").model
    broken = feeds("sklearn_wine") | {"alcohol": np.full((2, 1), np.nan)}

    with pytest.raises(RowsRefused, match="model 'model' cannot answer these rows: ValueError: Input X contains NaN") as error:
        model.run(broken)

    assert error.value.status == 400
    assert len(model.run(feeds("sklearn_wine"))["label"]) == 2


def test_closing_ends_the_process(load: Callable[..., MlflowModel]) -> None:
    model = load("sklearn_wine")
    pid = model.pid or 0

    model.close()

    assert not runs(pid)
    assert model.pid is None


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(start: Callable[..., Any], number: signal.Signals) -> None:
    server = start("--model", str(imported("xgboost_wine")), "--name", "wine")
    (worker,) = children(server.process.pid)
    body = json.dumps({"instances": as_json(rows_of("xgboost_wine").head(3))}).encode()
    request = urllib.request.Request(f"{server.url}/v1/models/wine:predict", body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert len(json.load(answer)["predictions"]) == 3

    server.process.send_signal(number)
    server.process.wait(15)

    until(lambda: not runs(worker), 5)


def test_a_published_model_is_served_from_the_store(start: Callable[..., Any], object_store: str, tmp_path: Path) -> None:
    store = ObjectStore.from_environment("the object store is needed by this test")
    name = f"worker-{uuid4().hex[:8]}"
    published = publish(imported("sklearn_wine"), store, name=name, version="v1.0.0")
    server = start("--model", published.uri, environment={"TMPDIR": str(tmp_path)})
    copies = list(tmp_path.glob("model-*"))

    body = json.dumps({"instances": as_json(rows_of("sklearn_wine").head(3))}).encode()
    request = urllib.request.Request(f"{server.url}/v1/models/{name}:predict", body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["model_version"] == "v1.0.0"
    server.process.terminate()
    server.process.wait(15)

    assert len(copies) == 1
    assert not copies[0].exists()


def test_a_published_file_that_changed_is_refused(object_store: str) -> None:
    store = ObjectStore.from_environment("the object store is needed by this test")
    name = f"worker-{uuid4().hex[:8]}"
    published = publish(imported("sklearn_wine"), store, name=name, version="v1.0.0")
    store.write(f"{published.uri}model.skops", b"something else")

    with pytest.raises(InputError, match=r"model.skops differs from its checksum in manifest.json"):
        mlflow_model.load_mlflow_model(model_source.read(published.uri), name)


def test_an_interpreter_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WORKER_PYTHON", "/nowhere/python")

    with pytest.raises(InputError, match="the interpreter /nowhere/python of model 'model' cannot be started"):
        mlflow_model.load_mlflow_model(model_source.read(str(imported("sklearn_wine"))), "model")


def test_secrets_are_kept_from_the_process(load: Callable[..., MlflowModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")

    pid = load("sklearn_wine").pid

    assert b"very-secret" not in Path(f"/proc/{pid}/environ").read_bytes()


arrays = st.one_of(
    npst.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.uint8]), npst.array_shapes(max_dims=3)),
    st.lists(st.text(), min_size=1, max_size=5).map(lambda texts: np.array([[text] for text in texts], dtype=object)),
)


@settings(max_examples=100)
@given(st.dictionaries(st.text(), arrays, max_size=4))
def test_arrays_arrive_as_they_were_sent(sent: dict[str, np.ndarray]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        mlflow_frames.send(ours, {"about": "ü"}, sent)
        message, received = mlflow_frames.receive(theirs)

    assert message == {"about": "ü"}
    assert received.keys() == sent.keys()
    for name, array in sent.items():
        np.testing.assert_array_equal(received[name], array)
        assert received[name].shape == array.shape

"""What the payload log holds: the requests that were sent, the answers they got, and no more than was allowed."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asgi_client import AsgiClient, Reply
from support.mixed_rows import ROWS

from stagewright.components.predictor import model_source
from stagewright.components.predictor.arguments import parse
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.payload.counts import Counts
from stagewright.components.predictor.payload.log import PayloadLog, header_value
from stagewright.components.predictor.payload.settings import PayloadSettings
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.runtime.errors import BadParameter, InputError, MissingSetting
from stagewright.components.runtime.signature import MISSING_TIME, Input, Signature

SINCE = [datetime.fromisoformat(day) if day else None for day in ("2019-03-01", "", "2024-02-29", "1970-01-01")]
V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"
TENSORS = [
    {"name": "tenure", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]},
    {"name": "charges", "shape": [2], "datatype": "FP32", "data": [20.0, 30.5]},
    {"name": "note", "shape": [2], "datatype": "BYTES", "data": ["calm", "angry"]},
]


class Logged:
    """An application that logs to a folder."""

    def __init__(self, models: dict[str, Path], folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.application = Application("churn", payload=PayloadSettings(str(folder), **settings))
        model = OnnxModel.load(model_source.read(str(models["mixed"])), "churn", version="v1.2.3")
        self.application.models.serve(model)
        self.client = AsgiClient(self.application)

    def predict(self, rows: list[Any], **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.client.post(V1, {"instances": rows}, headers=named)
        assert reply.status == 200, reply.body
        return reply

    def table(self) -> pl.DataFrame:
        """Everything that was logged, after the log was closed."""
        assert self.application.payloads is not None
        self.application.payloads.close(10)
        return pl.concat([pl.read_parquet(path) for path in self.files()])

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.parquet"))

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.fixture
def logged(models: dict[str, Path], tmp_path: Path) -> Logged:
    return Logged(models, tmp_path)


def test_what_was_sent_joins_with_what_is_logged(logged: Logged) -> None:
    replies = {}
    for at, row in enumerate(ROWS * 5):
        replies[f"r{at}"] = logged.predict([row], x_request_id=f"r{at}").json

    table = logged.table()

    sent = pl.DataFrame(
        {
            "request_id": list(replies),
            "answered": [reply["predictions"][0] for reply in replies.values()],
            "yes": [reply["probabilities"][0][1] for reply in replies.values()],
            "charges_sent": [float(row["charges"]) for row in ROWS * 5],
        }
    )
    joined = sent.join(table, on="request_id", how="inner", validate="1:1")
    assert len(joined) == 20
    assert joined["label"].to_list() == joined["answered"].to_list()
    np.testing.assert_array_equal(joined["probability_Yes"], joined["yes"].cast(pl.Float32).cast(pl.Float64))
    np.testing.assert_array_equal(joined["charges"], joined["charges_sent"].cast(pl.Float32).cast(pl.Float64))
    assert set(joined["model"]) == {"churn"}
    assert set(joined["version"]) == {"v1.2.3"}
    assert table["seconds"].is_between(0, 5).all()


def test_columns_have_the_types_of_stored_tables_and_gaps_are_null(logged: Logged) -> None:
    began = datetime.now(UTC).replace(tzinfo=None)
    logged.predict(ROWS, x_request_id="all")

    table = logged.table()

    assert dict(table.schema) == {
        "request_id": pl.String, "row": pl.Int64, "time": pl.Datetime("us"), "model": pl.String, "version": pl.String,
        "variant": pl.String, "seconds": pl.Float64, "label": pl.String, "probability_No": pl.Float64,
        "probability_Yes": pl.Float64, "tenure": pl.Float64, "charges": pl.Float64, "contract": pl.String,
        "senior": pl.Boolean, "since": pl.Datetime("us"), "note": pl.String,
    }  # fmt: skip
    assert table["row"].to_list() == [0, 1, 2, 3]
    assert table["request_id"].to_list() == ["all"] * 4
    assert table["tenure"].to_list() == [12.0, None, 1.5, 72.0]
    assert table["contract"].to_list() == ["One year", None, "1", "true"]
    assert table["senior"].to_list() == [True, None, False, True]
    assert table["since"].to_list() == SINCE
    assert began <= table["time"][0] <= datetime.now(UTC).replace(tzinfo=None)


def test_files_are_named_by_model_date_time_and_process(logged: Logged) -> None:
    logged.predict(ROWS[:1])
    logged.table()

    (path,) = logged.files()
    model, date, name = path.relative_to(logged.folder).parts
    assert model == "churn"
    assert datetime.strptime(date, "%Y-%m-%d")  # noqa: DTZ007 - a date
    clock, *_, number = name.removesuffix(".parquet").split("-")
    assert datetime.strptime(clock, "%H%M%S")  # noqa: DTZ007
    assert len(number) == 6
    described = json.loads(pl.read_parquet_metadata(path)["stagewright.payload"])
    assert described["classes"] == ["No", "Yes"]
    assert described["inputs"]["senior"] == {"column": "senior", "kind": "boolean"}


def test_an_id_is_taken_from_the_body_then_the_header_then_made(logged: Logged) -> None:
    body = {"inputs": TENSORS}
    own = logged.client.post(V2, {"id": "from-body", **body}, headers={"x-request-id": "from-header"})
    header = logged.client.post(V2, body, headers={"x-request-id": "from-header"})
    made = [logged.predict(ROWS[:1]).headers["x-request-id"] for _ in range(3)]

    assert own.headers["x-request-id"] == own.json["id"] == "from-body"
    assert header.headers["x-request-id"] == "from-header"
    assert len(set(made)) == 3
    assert logged.table()["request_id"].to_list() == ["from-body"] * 2 + ["from-header"] * 2 + made


def test_nothing_is_added_to_answers_without_a_log(mixed: AsgiClient) -> None:
    assert "x-request-id" not in mixed.post(V1, {"instances": ROWS}, headers={"x-request-id": "mine"}).headers


@pytest.mark.parametrize("unfit", ["a\r\nset-cookie: x", "ü", "x" * 257])
def test_an_id_that_is_no_header_is_logged_but_not_sent_back(logged: Logged, unfit: str) -> None:
    reply = logged.client.post(V2, {"id": unfit, "inputs": TENSORS})

    assert reply.status == 200
    assert "x-request-id" not in reply.headers
    assert logged.table()["request_id"].to_list() == [unfit] * 2


@given(st.text(max_size=300))
def test_a_header_value_never_breaks_a_line(text: str) -> None:
    value = header_value(text)
    assert value is None or (value.decode() == text and not set(value) & {0, 10, 13})


def test_refused_requests_are_not_logged(logged: Logged) -> None:
    assert logged.client.post(V1, {"instances": [{"charges": "much"}]}).status == 400
    logged.predict(ROWS[:1], x_request_id="good")

    assert logged.table()["request_id"].to_list() == ["good"]


def test_excluded_columns_are_nowhere_in_the_file(models: dict[str, Path], tmp_path: Path) -> None:
    logged = Logged(models, tmp_path, exclude=frozenset({"note", "tenure", "probability_No"}))
    secret = ROWS[0] | {"note": "a-secret-that-must-not-be-kept"}
    logged.predict([secret])

    table = logged.table()

    assert not {"note", "tenure", "probability_No"} & set(table.columns)
    assert "probability_Yes" in table.columns
    assert b"a-secret" not in logged.files()[0].read_bytes()


def test_a_sample_is_decided_by_the_id_alone(models: dict[str, Path], tmp_path: Path) -> None:
    first, second = (Logged(models, tmp_path / name, sample=0.3) for name in ("a", "b"))
    ids = [f"order-{at}" for at in range(300)]
    for one in ids:
        first.predict(ROWS[:1], x_request_id=one)
    for one in reversed(ids):
        second.predict(ROWS[:1], x_request_id=one)

    kept = first.table()["request_id"].to_list()

    assert sorted(kept) == sorted(second.table()["request_id"].to_list())
    assert 0.2 < len(kept) / len(ids) < 0.4


@pytest.mark.parametrize("form", ["{}", "request-{:06d}", "{:032x}", "f47ac10b-58cc-4372-a567-0e02b2c3{:04x}"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_sample_is_as_large_as_asked_whatever_ids_look_like(tmp_path: Path, form: str, share: float) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path), sample=share), Counts(Metrics()))
    number = 50_000

    chosen = sum(log.chosen(form.format(at)) for at in range(number))

    assert abs(chosen / number - share) < 5 * (share * (1 - share) / number) ** 0.5
    log.close()


class Stalled:
    """A model of the log alone."""

    name, version = "churn", "v1"
    signature = Signature("regression", (Input("x", "numeric"),))


def record(log: PayloadLog, request_id: str, rows: int = 1, size: int = 100) -> None:
    feeds = {"x": np.arange(rows, dtype=np.float32).reshape(-1, 1)}
    log.record(Stalled(), request_id, feeds, {"prediction": np.ones(rows, np.float32)}, rows, size=size)


@pytest.mark.parametrize(("bound", "taken"), [({"queue_rows": 50}, 50), ({"queue_bytes": 11_600}, 100)])
def test_more_than_the_queue_holds_is_dropped_and_counted(tmp_path: Path, bound: dict[str, int], taken: int) -> None:
    metrics = Metrics()
    log = PayloadLog(PayloadSettings(str(tmp_path), **bound), Counts(metrics))
    log._drain = lambda *, hurry: None if not hurry else PayloadLog._drain(log, hurry=True)  # type: ignore[method-assign]

    for at in range(1000):
        record(log, str(at))
    log.close(10)

    kept = pl.concat([pl.read_parquet(path) for path in tmp_path.rglob("*.parquet")])
    assert kept["request_id"].to_list() == [str(at) for at in range(taken)]
    assert f'dropped_rows_total{{reason="queue"}} {1000 - taken}.0'.encode() in metrics.exposition().body


def test_files_end_by_rows_by_bytes_and_by_time(tmp_path: Path) -> None:
    by_rows = PayloadLog(PayloadSettings(str(tmp_path / "rows"), flush_rows=100), Counts(Metrics()))
    by_bytes = PayloadLog(PayloadSettings(str(tmp_path / "bytes"), flush_bytes=10_000), Counts(Metrics()))
    by_time = PayloadLog(PayloadSettings(str(tmp_path / "time"), flush_seconds=0.2), Counts(Metrics()))
    for log in (by_rows, by_bytes, by_time):
        for at in range(1000):
            record(log, str(at))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not list((tmp_path / "time").rglob("*.parquet")):
        time.sleep(0.05)
    record(by_time, "late")
    for log in (by_rows, by_bytes, by_time):
        log.close(10)

    for name, rows, most in (("rows", 1000, 900), ("bytes", 1000, 900), ("time", 1001, 1000)):
        sizes = [len(pl.read_parquet(path)) for path in sorted((tmp_path / name).rglob("*.parquet"))]
        assert sum(sizes) == rows, name
        assert len(sizes) >= 2, name
        assert max(sizes) <= most, name


def test_a_large_request_is_logged_in_pieces(tmp_path: Path) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path)), Counts(Metrics()))
    record(log, "large", rows=60_000)
    log.close(20)

    table = pl.concat([pl.read_parquet(path) for path in sorted(tmp_path.rglob("*.parquet"))])
    assert table["row"].to_list() == list(range(60_000))
    assert table["x"].to_list() == list(range(60_000))


def test_requests_that_were_answered_together_are_told_apart(tmp_path: Path) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path)), Counts(Metrics()))
    feeds = {"x": np.arange(6, dtype=np.float32).reshape(-1, 1)}
    outputs = {"prediction": np.arange(6, dtype=np.float32) * 10}
    for start, rows in ((0, 1), (1, 3), (5, 1)):
        log.record(Stalled(), f"from-{start}", feeds, outputs, rows, start=start)
    log.close(10)

    (path,) = tmp_path.rglob("*.parquet")
    table = pl.read_parquet(path)
    assert table["x"].to_list() == [0, 1, 2, 3, 5]
    assert table["prediction"].to_list() == [0, 10, 20, 30, 50]
    assert table["request_id"].to_list() == ["from-0", "from-1", "from-1", "from-1", "from-5"]
    assert table["row"].to_list() == [0, 0, 1, 2, 0]


class Odd:
    """A model whose columns are called like the log's own, and one of each kind of tensor."""

    name, version, variant = "odd", None, "cpu-int8"
    signature = Signature(
        "multiclass",
        (
            Input("time", "datetime"), Input("label", "categorical"), Input("picture", "image", shape=(2, 2, 3)),
            Input("signal", "tensor", shape=(4,)), Input("words", "text", tokenizer="tokenizer.json"),
        ),
        classes=(False, True),
    )  # fmt: skip


@pytest.mark.parametrize("tensors", [False, True])
def test_taken_names_and_tensors(tmp_path: Path, tensors: bool) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path), tensors=tensors), Counts(Metrics()))
    for tokens in (3, 5):
        feeds = {
            "time": np.array([[MISSING_TIME], [1]]), "label": np.array([["a"], [""]], object),
            "picture": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), "signal": np.ones((2, 4), np.float32),
            "words": np.full((2, tokens), 7),
        }  # fmt: skip
        outputs = {"label": np.array([True, False]), "probabilities": np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)}
        log.record(Odd(), "one", feeds, outputs, 2)
    log.close(10)

    (path,) = tmp_path.rglob("*.parquet")
    table = pl.read_parquet(path)
    assert table["input_time"].to_list()[:2] == [None, datetime.fromisoformat("1970-01-01T00:00:00.000001")]
    assert table["input_label"].to_list()[:2] == ["a", None]
    assert table["label"].to_list()[:2] == [True, False]
    assert table["probability_True"][0] == pytest.approx(0.9)
    assert table["variant"].to_list() == ["cpu-int8"] * 4
    assert {"picture", "signal", "words"} <= set(table.columns) if tensors else "picture" not in table.columns
    if tensors:
        assert table["picture"].dtype == pl.Array(pl.UInt8, (2, 2, 3))
        assert table["picture"].to_numpy()[1].ravel().tolist() == list(range(12, 24))
        assert table["signal"].dtype == pl.Array(pl.Float32, 4)
        assert table["words"].list.len().to_list() == [3, 3, 5, 5]


class Colliding:
    """A model whose inputs are called as the log's own columns are, as each other but for case, and as its answers."""

    name, version, variant = "odd", "v1.0.0", None
    names = (
        "time", "input_time", "input_input_time", "TIME", "request_id", "row", "Row", "label", "probability_yes",
        "Probability_No", "age", "AGE", "input_age",
    )  # fmt: skip
    signature = Signature("binary", tuple(Input(name, "numeric") for name in names), classes=("no", "yes"))


def test_every_input_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path)), Counts(Metrics()))
    feeds = {name: np.array([[at]], np.float32) for at, name in enumerate(Colliding.names)}
    outputs = {"label": np.array(["no"], object), "probabilities": np.array([[0.75, 0.25]], np.float32)}
    log.record(Colliding(), "one", feeds, outputs, 1)
    log.close(10)

    (path,) = tmp_path.rglob("*.parquet")
    table = pl.read_parquet(path)
    inputs = {
        "input_input_input_time": 0.0, "input_time": 1.0, "input_input_time": 2.0, "input_input_input_input_TIME": 3.0,
        "input_request_id": 4.0, "input_row": 5.0, "input_input_Row": 6.0, "input_label": 7.0, "input_probability_yes": 8.0,
        "input_Probability_No": 9.0, "age": 10.0, "input_input_AGE": 11.0, "input_age": 12.0,
    }  # fmt: skip
    assert {name: table[name][0] for name in inputs} == inputs
    assert len(table.columns) == len({name.lower() for name in table.columns}) == 7 + 3 + len(inputs)
    assert table["request_id"].to_list() == ["one"]
    assert table["probability_yes"].to_list() == [0.25]
    described = json.loads(pl.read_parquet_metadata(path)["stagewright.payload"])["inputs"]
    assert {name: one["column"] for name, one in described.items()} == {
        name: Colliding.names[int(at)] for name, at in inputs.items()
    }


def test_what_cannot_be_logged_costs_its_own_rows_only(tmp_path: Path) -> None:
    metrics = Metrics()
    log = PayloadLog(PayloadSettings(str(tmp_path)), Counts(metrics))
    log.record(Stalled(), "broken", {}, {"prediction": np.ones(1, np.float32)}, 1)
    time.sleep(0.4)
    record(log, "good")
    log.close(10)

    (path,) = tmp_path.rglob("*.parquet")
    assert pl.read_parquet(path)["request_id"].to_list() == ["good"]
    assert b'dropped_rows_total{reason="error"} 1.0' in metrics.exposition().body


def test_recording_costs_microseconds(tmp_path: Path) -> None:
    log = PayloadLog(PayloadSettings(str(tmp_path), queue_rows=10**9, queue_bytes=10**12), Counts(Metrics()))
    log._closing.set()
    log._thread.join()
    feeds, outputs, model = {"x": np.ones((1, 1), np.float32)}, {"prediction": np.ones(1, np.float32)}, Stalled()

    def seconds(number: int = 20_000) -> float:
        began = time.perf_counter()
        for _ in range(number):
            log.record(model, "an-id-of-usual-length-0123456789", feeds, outputs, 1, size=400)
        return (time.perf_counter() - began) / number

    assert min(seconds() for _ in range(5)) < 5e-6  # 1.2 us where nothing else runs


def test_options_come_from_arguments_and_environment(tmp_path: Path) -> None:
    arguments = ["--model", str(tmp_path)]
    environment = {"STAGEWRIGHT_PAYLOAD_LOG": str(tmp_path), "STAGEWRIGHT_PAYLOAD_SAMPLE": "0.1"}

    assert parse(arguments, {}).payload is None
    settings = parse([*arguments, "--payload-exclude", "name, phone"], environment).payload
    assert settings is not None
    assert (settings.destination, settings.sample, settings.exclude) == (str(tmp_path), 0.1, frozenset({"name", "phone"}))


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("sample", "2", "'payload-sample' is '2'; expected a number above 0 and at most 1"),
        ("flush-rows", "no", "'payload-flush-rows' is 'no'; expected a number above 0"),
        ("tensors", "some", "'payload-tensors' is 'some'; expected true or false"),
    ],
)
def test_unusable_options_are_told(tmp_path: Path, option: str, value: str, sentence: str) -> None:
    with pytest.raises(BadParameter, match=sentence):
        parse(["--model", str(tmp_path), "--payload-log", str(tmp_path), f"--payload-{option}", value], {})


def test_a_store_that_is_not_configured_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(MissingSetting, match="the payload log needs the object store"):
        parse(["--model", str(tmp_path), "--payload-log", "s3://monitoring"], {})
    with pytest.raises(InputError, match="is not the URI of an object"):
        parse(["--model", str(tmp_path), "--payload-log", "s3://M"], {})


class Panic(BaseException):
    """What a library in Rust raises where it gives up: no Exception."""


@pytest.mark.parametrize("place", ["columns", "parquet", "groups", "store"])
def test_a_panic_does_not_end_the_log(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from stagewright.components.predictor.payload import columns, files, log

    owner, name = {
        "columns": (columns.Layout, "batch"), "parquet": (log, "parquet"), "groups": (log, "_groups"),
        "store": (files._Folder, "write"),
    }[place]  # fmt: skip
    works, panicked = getattr(owner, name), []

    def once(*given: Any, **named: Any) -> Any:
        if not panicked:
            panicked.append(True)
            raise Panic("not yet implemented: Decimal256")
        return works(*given, **named)

    monkeypatch.setattr(owner, name, once)
    logged = Logged(models, tmp_path / "log", flush_rows=1)
    logged.predict(ROWS[:1], x_request_id="first")
    deadline = time.monotonic() + 20
    while not panicked and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    logged.predict(ROWS[:1], x_request_id="second")

    wanted = {"first", "second"} if place == "store" else {"second"}  # what could not be sent is tried again
    assert set(logged.table()["request_id"].to_list()) == wanted
    log_of = logged.application.payloads
    assert log_of is not None
    assert (log_of._rows_in - log_of._rows_out, log_of._bytes_in - log_of._bytes_out) == (0, 0)

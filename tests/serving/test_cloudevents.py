"""CloudEvents, beside KServe's own server, which runs here with a model of the same answers."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.mixed_rows import ROWS
from support.targets import Target, process

pytest.importorskip("kserve")

REQUEST = {"instances": ROWS}
ATTRIBUTES = {"specversion": "1.0", "id": "7", "source": "tests", "type": "asked", "time": "2026-01-31T12:00:00Z"}
BINARY = {f"ce-{name}": value for name, value in ATTRIBUTES.items()} | {"Content-Type": "application/json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
SERVER = """
import sys
from kserve import Model, ModelServer

class Churn(Model):
    def __init__(self):
        super().__init__("churn")
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": [len(payload["instances"])]}

ModelServer(http_port=int(sys.argv[1]), enable_grpc=False).start([Churn()])
"""


@pytest.fixture(scope="module")
def ours(models: dict[str, Path]) -> Iterator[Target]:
    with process(models["mixed"], "churn") as running:
        yield running


@pytest.fixture(scope="module")
def kserves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path_factory.mktemp("kserve") / "server.py"
    script.write_text(SERVER)
    running = subprocess.Popen([sys.executable, str(script), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                if urllib3.request("GET", f"{url}/v2/health/ready", retries=False).status == 200:
                    break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        running.terminate()
        running.wait(30)


def ask(url: str, document: Any, headers: dict[str, str], path: str = "/v1/models/churn:predict") -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{url}{path}", body=json.dumps(document), headers=headers)


def event_headers(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("ce-")}


def shape(attributes: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """An event's attributes without what is new in each."""
    return {
        name: "any" if name in (f"{prefix}id", f"{prefix}time") else value
        for name, value in attributes.items()
        if name != "data"
    }


def test_binary_mode_is_kserves(ours: Target, kserves: str) -> None:
    own, theirs = ask(ours.url, REQUEST, BINARY), ask(kserves, REQUEST, BINARY)

    assert (own.status, theirs.status) == (200, 200)
    assert shape(event_headers(own), "ce-") == shape(event_headers(theirs), "ce-")
    assert own.headers["content-type"] == theirs.headers["content-type"] == "application/json"
    assert own.json() == ask(ours.url, REQUEST, {}).json()
    assert event_headers(own)["ce-id"] != event_headers(ask(ours.url, REQUEST, BINARY))["ce-id"]


def test_structured_mode_is_kserves(ours: Target, kserves: str) -> None:
    event = {**ATTRIBUTES, "data": REQUEST}
    own, theirs = ask(ours.url, event, STRUCTURED), ask(kserves, event, STRUCTURED)

    assert (own.status, theirs.status) == (200, 200)
    assert own.headers["content-type"] == theirs.headers["content-type"] == "application/cloudevents+json"
    assert shape(own.json()) == shape(theirs.json())
    assert own.json()["data"] == ask(ours.url, REQUEST, {}).json()


def test_an_event_that_says_it_is_json_is_answered_plainly(ours: Target, kserves: str) -> None:
    event, plain = {**ATTRIBUTES, "data": REQUEST}, {"Content-Type": "application/json"}
    own, theirs = ask(ours.url, event, plain), ask(kserves, event, plain)

    assert theirs.json() == {"predictions": [len(ROWS)]}
    assert own.json() == ask(ours.url, REQUEST, {}).json()


def test_the_list_of_models_is_kserves(ours: Target, kserves: str) -> None:
    own, theirs = (urllib3.request("GET", f"{url}/v2/models") for url in (ours.url, kserves))

    assert own.json() == theirs.json() == {"models": ["churn"]}


def test_v2_takes_events_in_binary_mode(ours: Target) -> None:
    tensors = [{"name": "charges", "shape": [1], "datatype": "FP32", "data": [1.0]},
               {"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a"]}]  # fmt: skip
    answer = ask(ours.url, {"inputs": tensors}, BINARY, "/v2/models/churn/infer")

    assert answer.json() == ask(ours.url, {"inputs": tensors}, {}, "/v2/models/churn/infer").json()
    assert len(event_headers(answer)) == 5


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in ATTRIBUTES.items() if key != name}


CODED = base64.b64encode(json.dumps(REQUEST).encode()).decode()
REFUSED = [
    (STRUCTURED, ATTRIBUTES, 400, "the CloudEvent has no 'data'; it holds the request, such as {\"instances\": [row, ...]}"),
    (STRUCTURED, {**without("id"), "data": REQUEST}, 400, "the CloudEvent has no text 'id'"),
    (STRUCTURED, {**ATTRIBUTES, "specversion": "2.0", "data": REQUEST}, 400,
     "specversion '2.0' of CloudEvents is not known; send 1.0"),
    (STRUCTURED, {**ATTRIBUTES, "data_base64": "?"}, 400, "the CloudEvent's 'data_base64' is not base 64"),
    (STRUCTURED, {**ATTRIBUTES, "data": [1]}, 400, "the body is a list; expected a JSON object"),
    (STRUCTURED, [ATTRIBUTES], 400, "the CloudEvent is a list; expected a JSON object"),
    (BINARY | {"ce-specversion": "7"}, REQUEST, 400, "specversion '7' of CloudEvents is not known; send 1.0"),
    ({"Content-Type": "application/cloudevents-batch+json"}, [], 415,
     "a batch of CloudEvents is not taken; send one event a request"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "document", "status", "sentence"), REFUSED, ids=[one[3][:50] for one in REFUSED])
def test_what_is_no_event_is_refused(ours: Target, headers: dict[str, str], document: Any, status: int, sentence: str) -> None:
    answer = ask(ours.url, document, headers)

    assert (answer.status, answer.json()) == (status, {"error": sentence})


def test_structured_v2_is_refused(ours: Target) -> None:
    answer = ask(ours.url, {**ATTRIBUTES, "data": {}}, STRUCTURED, "/v2/models/churn/infer")

    sentence = "a structured CloudEvent is taken at V1's :predict alone; send V2 in binary mode"
    assert (answer.status, answer.json()) == (415, {"error": sentence})


def test_what_else_is_an_event(ours: Target) -> None:
    plain = ask(ours.url, REQUEST, {}).json()
    timeless = ask(
        ours.url, {**without("time"), "data": REQUEST}, {"Content-Type": "Application/CloudEvents+JSON; charset=utf-8"}
    )
    coded = ask(ours.url, {**ATTRIBUTES, "data_base64": CODED}, STRUCTURED)
    partly = ask(ours.url, REQUEST, {"ce-id": "7", "ce-specversion": "1.0"})

    assert timeless.json()["data"] == coded.json()["data"] == partly.json() == plain
    assert event_headers(partly) == {}

"""V2's model repository extension over HTTP: what it lists, loads, unloads, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.asgi_client import AsgiClient
from support.mixed_rows import ROWS
from support.published import publish

from stagewright.components.serving import client

Start = Callable[..., Any]
READY = {"name": "churn", "version": "v1.2.3", "state": "READY", "reason": ""}


def test_a_server_without_a_repository_lists_what_it_serves(mixed: AsgiClient) -> None:
    assert mixed.post("/v2/repository/index", body=b"").json == [READY]
    assert mixed.get("/v2/repository/index").json == [READY]
    assert mixed.post("/v2/repository/index", {"ready": True}).json == [READY]


@pytest.mark.parametrize("name", ["churn", "other"])
def test_a_server_without_a_repository_loads_nothing(mixed: AsgiClient, name: str) -> None:
    reply = mixed.post(f"/v2/repository/models/{name}/load", {})

    assert (reply.status, reply.json) == (404, {"error": f"no model '{name}' here; /v2/models lists the models"})


@pytest.mark.parametrize(
    ("path", "document", "sentence"),
    [
        ("index", {"ready": "yes"}, "'ready' is 'yes'; expected true or false"),
        ("index", [], "the body is a list; expected a JSON object"),
        ("models/churn/load", {"parameters": []}, "'parameters' is a list; expected an object"),
        ("models/churn/load", {"parameters": {"version": "../v2"}},
         "parameter 'version' is '../v2'; expected a version of the model, such as 'v1.0.0'"),
        ("models/churn/load", {"parameters": {"version": 3}},
         "parameter 'version' is 3; expected a version of the model, such as 'v1.0.0'"),
        ("models/churn/load", {"parameters": {"config": "{}"}},
         "parameter 'config' is not taken: a model is loaded as it stands in the repository"),
        ("models/churn/load", {"parameters": {"file:1/model.onnx": "AAAA"}},
         "parameter 'file:1/model.onnx' is not taken: a model is loaded as it stands in the repository"),
        ("models/churn/unload", {"parameters": {"staged": 1}}, "'staged' is 1; expected true or false"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said(mixed: AsgiClient, path: str, document: Any, sentence: str) -> None:
    reply = mixed.post(f"/v2/repository/{path}", document)

    assert (reply.status, reply.json) == (400, {"error": sentence})


def test_load_and_unload_change_something_and_take_post(mixed: AsgiClient) -> None:
    for action in ("load", "unload"):
        reply = mixed.get(f"/v2/repository/models/churn/{action}")
        assert reply.status == 405
        assert reply.headers["allow"] == "POST"


def ask(url: str, path: str, document: Any = None) -> tuple[int, Any]:
    answer = urllib3.request("POST", f"{url}/v2/repository/{path}", body=json.dumps(document or {}), retries=False)
    return answer.status, json.loads(answer.data)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_life_of_models_in_a_repository(start: Start, tmp_path: Path, models: dict[str, Path], workers: str) -> None:
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    publish(models["wine"], tmp_path, "wine", "v2.0.0")
    (tmp_path / "diabetes.json").write_text(json.dumps({"uri": str(models["diabetes"]), "version": "v3.0.0"}))
    server = start("--repository", str(tmp_path), "--workers", workers)
    for name in ("churn", "diabetes", "wine"):
        client.wait_until_ready(server.url, name, 30)
    ready = [
        {"name": "churn", "version": "v1.0.0", "state": "READY", "reason": ""},
        {"name": "diabetes", "version": "v3.0.0", "state": "READY", "reason": ""},
        {"name": "wine", "version": "v2.0.0", "state": "READY", "reason": ""},
    ]
    assert ask(server.url, "index") == (200, ready)

    assert ask(server.url, "models/wine/unload") == (200, {"name": "wine", "unload": True})

    gone = {"name": "wine", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert ask(server.url, "index") == (200, [*ready[:2], gone])
    assert ask(server.url, "index", {"ready": True}) == (200, ready[:2])
    assert urllib3.request("GET", f"{server.url}/v2/health/ready").status == 200
    with pytest.raises(client.InputError, match="no model 'wine' here; /v2/models lists the models"):
        client.predict(server.url, "wine", [[1.0] * 13])
    assert ask(server.url, "models/wine/unload")[0] == 404

    assert ask(server.url, "models/wine/load") == (200, {"name": "wine", "load": True, "version": "v2.0.0"})

    assert ask(server.url, "index") == (200, ready)
    assert client.predict(server.url, "churn", ROWS).model_version == "v1.0.0"


@pytest.mark.parametrize("name", ["..%2Fsecret", "%2e%2e", "http:%2F%2F127.0.0.1", "s3:%2F%2Fmodels%2Fx%2Fv1", "nobody"])
def test_nothing_outside_the_repository_is_loaded(start: Start, tmp_path: Path, models: dict[str, Path], name: str) -> None:
    publish(models["mixed"], tmp_path / "repository", "churn", "v1.0.0")
    publish(models["mixed"], tmp_path, "secret", "v1.0.0")
    server = start("--repository", str(tmp_path / "repository"))

    status, answer = ask(server.url, f"models/{name}/load")

    assert status == 404
    assert list(answer) == ["error"]


def test_a_server_can_be_closed_to_changes(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    server = start("--repository", str(tmp_path), "--repository-api", "off")

    sentence = "this server was started with --repository-api off; models cannot be loaded or unloaded"
    for action in ("load", "unload"):
        assert ask(server.url, f"models/churn/{action}") == (403, {"error": sentence})
    assert ask(server.url, "index")[0] == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broken_model_of_the_repository_does_not_keep_the_others_from_serving(
    start: Start, tmp_path: Path, models: dict[str, Path], workers: str
) -> None:
    broken = publish(models["wine"], tmp_path, "a-broken-one", "v1.0.0")
    (broken / "serving" / "model.onnx").write_bytes(b"changed since it was published")
    publish(models["mixed"], tmp_path, "churn", "v1.0.0")

    server = start("--repository", str(tmp_path), "--workers", workers)

    client.wait_until_ready(server.url, "churn", 30)
    entries = ask(server.url, "index")[1]
    assert [(entry["name"], entry["state"]) for entry in entries] == [("a-broken-one", "UNAVAILABLE"), ("churn", "READY")]
    assert entries[0]["reason"].endswith("differs from its checksum in manifest.json: publish or download the model again")
    assert urllib3.request("GET", f"{server.url}/v2/health/ready").status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_repository_that_went_away_is_said(start: Start, tmp_path: Path, models: dict[str, Path], workers: str) -> None:
    publish(models["mixed"], tmp_path / "repository", "churn", "v1.0.0")
    server = start("--repository", str(tmp_path / "repository"), "--workers", workers)
    (tmp_path / "repository").rename(tmp_path / "elsewhere")

    reason = "the model repository [see the server's log] cannot be read: No such file or directory"
    assert ask(server.url, "index") == (503, {"error": f"the models cannot be listed: {reason}"})
    refused = f"model 'churn' was not loaded: {reason}; v1.0.0 goes on serving"
    assert ask(server.url, "models/churn/load") == (400, {"error": refused})
    assert client.predict(server.url, "churn", ROWS).model_version == "v1.0.0"

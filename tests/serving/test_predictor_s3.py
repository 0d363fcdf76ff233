"""A published model is served straight from the object store."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.mixed_rows import ROWS

from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving import client

URI = "s3://models/churn-predictor-test/v1.4.0"


@pytest.fixture(scope="module")
def published(object_store: str, models: dict[str, Path]) -> ObjectStore:
    """A published version; what the predictor does not need is listed in the manifest but is not there."""
    store = ObjectStore.from_environment("the object store is needed by this test")
    store.ensure_bucket("models")
    entries = [{"path": "estimator/model.ubj", "size": 1, "sha256": "0" * 64}]
    for name in ("model.onnx", "signature.json"):
        content = (models["mixed"] / name).read_bytes()
        store.write(f"{URI}/serving/{name}", content)
        entries.append({"path": f"serving/{name}", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {"name": "churn", "version": "v1.4.0", "files": entries}
    store.write(f"{URI}/manifest.json", json.dumps(manifest).encode())
    return store


def refused(uri: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "stagewright.components.predictor", "--port=0", "--model", uri, "--name=churn"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


def test_it_serves_from_the_object_store(start: Callable[..., Any], published: ObjectStore) -> None:
    server = start("--model", URI)

    answer = client.predict(server.url, "churn", ROWS)

    assert answer.model_version == "v1.4.0"
    assert len(answer.predictions) == len(ROWS)


def test_a_changed_object_is_refused(published: ObjectStore, models: dict[str, Path]) -> None:
    other = URI.replace("v1.4.0", "v1.4.1")
    for name in ("manifest.json", "serving/model.onnx"):
        published.write(f"{other}/{name}", published.read(f"{URI}/{name}"))
    published.write(f"{other}/serving/signature.json", b"{}")

    sentence = (
        f"{other}/serving/signature.json differs from its checksum in manifest.json: publish or download the model again\n"
    )
    assert refused(other) == (2, sentence)


def test_a_version_that_was_never_published(published: ObjectStore) -> None:
    nowhere = URI.replace("v1.4.0", "v9.9.9")

    assert refused(nowhere) == (2, f"no published model at {nowhere}: it has no manifest.json\n")


@pytest.mark.slow
def test_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch, published: ObjectStore) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)

    code, said = refused(URI)

    assert code == 1
    assert said.splitlines()[-1] == (
        "the object store at http://127.0.0.1:1 does not answer (Failed to establish a new connection: [Errno 111] Connection "
        "refused); start it or correct AWS_ENDPOINT_URL"
    )

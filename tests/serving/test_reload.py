"""A new version takes the place of the old one while requests are answered, and none is lost."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.hammer import hammering
from support.mixed_rows import ROWS
from support.published import publish, write_manifest

from stagewright.components.serving import client

Start = Callable[..., Any]


def post(url: str, path: str, document: Any = None) -> tuple[int, Any]:
    answer = urllib3.request("POST", url + path, body=json.dumps(document or {}), retries=False)
    return answer.status, json.loads(answer.data)


def load(url: str, name: str = "churn", **parameters: Any) -> tuple[int, Any]:
    return post(url, f"/v2/repository/models/{name}/load", {"parameters": parameters})


def spoil(version: Path) -> None:
    """A version whose graph is cut off, with a manifest that is right about it."""
    graph = version / "serving" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:500])
    write_manifest(version, version.parent.name, version.name)


def events(process: "subprocess.Popen[bytes]", name: str) -> list[dict[str, Any]]:
    """End a predictor; what it logged under this name since it was started."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.stderr is not None
    entries = [json.loads(line) for line in process.stderr.read().decode().splitlines()]
    return [entry for entry in entries if entry["event"] == name]


@pytest.fixture
def repository(tmp_path: Path, models: dict[str, Path]) -> Path:
    publish(models["mixed"], tmp_path / "models", "churn", "v1.0.0")
    return tmp_path / "models"


def test_a_reload_under_load_loses_nothing(start: Start, repository: Path, models: dict[str, Path]) -> None:
    server = start("--repository", str(repository))
    with hammering(server.url, "churn", ROWS[:1]) as hammer:
        hammer.wait_for(1000)
        for version in ("v1.1.0", "v1.2.0", "v1.3.0"):
            publish(models["mixed"], repository, "churn", version)
            assert load(server.url) == (200, {"name": "churn", "load": True, "version": version})
            hammer.wait_for(1000)

    assert hammer.count >= 4000
    assert (hammer.lost, hammer.statuses) == ([], {200})
    assert hammer.versions() == [["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"]] * 8  # each connection sees each version once
    released = [entry["version"] for entry in events(server.process, "model_released")]
    assert released == ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"]  # the last with the server's end


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(start: Start, repository: Path, models: dict[str, Path]) -> None:
    server = start("--repository", str(repository))
    spoil(publish(models["mixed"], repository, "churn", "v2.0.0"))
    with hammering(server.url, "churn", ROWS[:1]) as hammer:
        hammer.wait_for(200)
        status, answer = load(server.url)
        hammer.wait_for(200)

    assert status == 400
    assert answer["error"].startswith(
        "model 'churn' was not loaded: model.onnx of the model at [see the server's log] cannot be"
    )
    assert answer["error"].endswith("; v1.0.0 goes on serving")
    assert (hammer.lost, hammer.statuses, hammer.versions()) == ([], {200}, [["v1.0.0"]] * 8)


def test_a_version_is_tried_before_it_takes_the_place(start: Start, repository: Path, models: dict[str, Path]) -> None:
    server = start("--repository", str(repository))
    publish(models["mixed"], repository, "churn", "v2.0.0")

    assert load(server.url, stage=True)[1]["version"] == "v2.0.0"

    infer = {"instances": ROWS[:1]}
    assert post(server.url, "/v1/models/churn:predict", infer)[1]["model_version"] == "v1.0.0"
    for version in ("v2.0.0", "staged"):
        metadata = json.loads(urllib3.request("GET", f"{server.url}/v2/models/churn/versions/{version}").data)
        assert metadata["versions"] == ["v2.0.0"]
    assert post(server.url, "/v2/repository/models/churn/unload", {"parameters": {"staged": True}})[0] == 200
    assert urllib3.request("GET", f"{server.url}/v2/models/churn/versions/staged").status == 404
    assert load(server.url)[1]["version"] == "v2.0.0"
    assert post(server.url, "/v1/models/churn:predict", infer)[1]["model_version"] == "v2.0.0"


def test_a_chosen_version_stays_until_another_is_asked_for(start: Start, repository: Path, models: dict[str, Path]) -> None:
    publish(models["mixed"], repository, "churn", "v1.1.0")
    server = start("--repository", str(repository), "--watch", "0.1")

    assert load(server.url, version="v1.0.0") == (200, {"name": "churn", "load": True, "version": "v1.0.0"})
    publish(models["mixed"], repository, "churn", "v1.2.0")
    time.sleep(0.5)

    assert client.predict(server.url, "churn", ROWS).model_version == "v1.0.0"
    assert load(server.url)[1]["version"] == "v1.2.0"


def served(url: str, version: str, timeout: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if client.predict(url, "churn", ROWS).model_version == version:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_new_versions_are_found_by_watching(start: Start, repository: Path, models: dict[str, Path], workers: str) -> None:
    server = start("--repository", str(repository), "--watch", "0.2", "--workers", workers)
    broken = publish(models["mixed"], repository.parent / "aside", "churn", "v1.5.0")
    spoil(broken)
    broken.rename(repository / "churn" / "v1.5.0")
    failed = next(json.loads(line) for line in server.process.stderr if b"load_failed" in line)
    assert (failed["model"], failed["serving"]) == ("churn", "v1.0.0")
    time.sleep(0.5)
    publish(models["wine"], repository, "wine", "v1.0.0")
    publish(models["mixed"], repository, "churn", "v2.0.0")

    assert served(server.url, "v2.0.0")
    client.wait_until_ready(server.url, "wine", 20)
    assert events(server.process, "load_failed") == []  # it was tried and said once


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reloads(start: Start, repository: Path, models: dict[str, Path], workers: str) -> None:
    server = start("--repository", str(repository), "--workers", workers)
    publish(models["mixed"], repository, "churn", "v2.0.0")

    server.process.send_signal(signal.SIGHUP)

    assert served(server.url, "v2.0.0")


def test_a_model_of_the_command_line_is_read_again(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    folder = publish(models["mixed"], tmp_path, "churn", "v1.0.0")
    server = start("--model", f"churn={folder}", "--model", f"wine={models['wine']}")
    write_manifest(folder, "churn", "v1.0.1")

    assert load(server.url) == (200, {"name": "churn", "load": True, "version": "v1.0.1"})
    assert load(server.url, "wine") == (200, {"name": "wine", "load": True})


def test_memory_of_replaced_models_is_given_back(start: Start, tmp_path: Path, models: dict[str, Path]) -> None:
    from support.onnx_models import write_slow

    large = write_slow(tmp_path / "large", size=64, repeats=2)
    graph = (large / "model.onnx").read_bytes()
    repository = tmp_path / "models"
    publish(large, repository, "large", "v1.0.0", extras={"model.onnx": _with_ballast(graph, megabytes=40)})
    server = start("--repository", str(repository))

    sizes = []
    for _ in range(6):
        assert load(server.url, "large")[0] == 200
        assert client.predict(server.url, "large", [[1.0]]).predictions == [1.0]
        sizes.append(_resident(server.process.pid))

    assert sizes[-1] < sizes[0] + 60 * 1024**2  # six copies would be 240 MB


def _with_ballast(graph: bytes, *, megabytes: int) -> bytes:
    """The same model with a large constant that takes part in its answer."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    ballast = np.zeros(megabytes * 1024**2 // 4, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(ballast, "ballast"))
    model.graph.node.append(helper.make_node("ReduceSum", ["ballast"], ["weight"], keepdims=0))
    model.graph.node[-2].output[0] = "light"
    model.graph.node.append(helper.make_node("Add", ["light", "weight"], ["prediction"]))
    return model.SerializeToString()


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096

"""Requests of the cases: over HTTP and gRPC, from web pages, slow, and from the clients of other servers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.cases import Cases


def test_a_page_unloads_no_model(cases: Cases) -> None:
    said = cases.run("csrf-unload").splitlines()

    assert said[0].startswith('{"error":"cross-origin request blocked: ')
    assert said[0].endswith(" 403")
    assert said[1] == "predict: 200"


def test_grpc_refuses_what_http_refuses(cases: Cases) -> None:
    sentence = "parameter 'config' is not taken: a model is loaded as it stands in the repository"
    absent = "model 'wine-xgboost' has no version 'v9.9.9' here; served is v1.0.0"
    said = cases.run("grpc-load-ignores-parameters").splitlines()

    assert said[0] == f"http load with a model file refused: [400] {sentence}"
    assert said[1].startswith(
        "grpc load with a model file refused: [StatusCode.INVALID_ARGUMENT] parameter 'config' is not taken"
    )
    assert said[2] == f"grpc load of version v9.9.9 refused: {absent}"
    assert json.loads(said[3]) == {"error": absent}


def test_a_grpc_name_is_no_path(cases: Cases) -> None:
    *said, defects = cases.run("grpc-name-is-a-path").splitlines()

    assert [line.partition("NOT_FOUND")[1] for line in said] == ["NOT_FOUND"] * 6
    assert defects == "0"


def test_events_and_the_list_are_kserves(cases: Cases) -> None:
    said = cases.run("kserve-differences").splitlines()

    assert said[0] == 'GET /v2/models: {"models":["diab"]} 200'
    event, status = said[1].removeprefix("structured: ").rsplit(" ", 1)
    found = json.loads(event)
    assert status == "200"
    assert (found["type"], found["source"]) == ("io.kserve.inference.response", "io.kserve.inference.diab")
    assert len(found["data"]["predictions"]) == 1
    assert said[2] == "binary: 5 ce- headers"


def test_an_output_in_shared_memory_is_refused(cases: Cases) -> None:
    said = cases.run("shared-memory-output").splitlines()

    assert [line.split()[:2] for line in said] == [["tritonclient.http", "refused"], ["tritonclient.grpc", "refused"]]


def test_connections_that_begin_no_request_end(cases: Cases) -> None:
    said = cases.run("slow-head").splitlines()

    assert said[0].endswith(": 200 of 200")
    assert said[1].startswith("liveness: b'HTTP/1.1 200 OK")


def test_the_sentence_about_a_version_says_what_is_served(cases: Cases) -> None:
    said = cases.run("load-unknown-version").splitlines()

    assert json.loads(said[-1]) == {"error": "model 'churn' has no version 'v9.0.0' here; served is v1.0.0"}


def test_tritons_perf_analyzer_measures_the_server(cases: Cases, libraries: Path) -> None:
    """Its last lines are a throughput, or, on a machine that is busy with something else, that it was not stable."""
    said = cases.run("perf-analyzer", PA_LIBS=str(libraries))

    for wrong in ("failed to", "Method not found", "Aborted"):
        assert wrong not in said
    *told, answer = said.splitlines()
    assert len([line for line in told if "throughput: " in line or "Failed to obtain stable measurement." in line]) == 2
    stats = json.loads(answer)["model_stats"][0]["inference_stats"]
    counts = {stats[part]["count"] for part in ("success", "queue", "compute_input", "compute_infer", "compute_output")}
    assert len(counts) == 1
    assert counts.pop() > 100


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two libraries that perf_analyzer needs: libb64.so.0d of Debian's libb64-0d, libcudart.so.12 of NVIDIA's package."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stagewright-tests" / "perf-analyzer"
    wanted = [cache / "libb64.so.0d", cache / "libcudart.so.12"]
    if all(path.exists() for path in wanted):
        return cache
    cache.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("downloads")
    package = "nvidia-cuda-runtime-cu12"
    for command in (
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", package],
        ["apt-get", "download", "libb64-0d"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for archive in folder.glob("*.whl"):
        shutil.unpack_archive(archive, folder / "unpacked", "zip")
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / "unpacked")], check=True)
    for path in wanted:
        found = next((folder / "unpacked").rglob(path.name))
        shutil.copyfile(found.resolve(), path)
    return cache

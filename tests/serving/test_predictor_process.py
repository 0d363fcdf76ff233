"""The predictor as a process: how it starts, what it says when it cannot, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support import onnx_models
from support.mixed_rows import FEEDS, ROWS

from stagewright.components.runtime.signature import Input, Signature
from stagewright.components.serving import client

PREDICTOR = (sys.executable, "-m", "stagewright.components.predictor")
Start = Callable[..., Any]


def refused(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a predictor that does not come up."""
    ended = subprocess.run(
        [*PREDICTOR, *arguments], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def test_it_serves_with_kserves_arguments(start: Start, models: dict[str, Path]) -> None:
    server = start(f"--model_dir={models['mixed']}", "--model_name=churn", "--http_port=0", "--workers=1")

    answer = client.predict(server.url, "churn", ROWS)

    assert answer.predictions == own_labels(models["mixed"])
    assert server.announced["seconds"] < 1.0


def own_labels(folder: Path) -> list[str]:
    return onnx_models.direct(folder, FEEDS)["label"].tolist()


def test_it_serves_from_the_environment(start: Start, models: dict[str, Path]) -> None:
    server = start(environment={"STORAGE_URI": str(models["mixed"]), "MODEL_NAME": "from-env", "MODEL_VERSION": "v2.0.0"})

    assert client.predict(server.url, "from-env", ROWS).model_version == "v2.0.0"


def test_several_workers_share_a_port(start: Start, models: dict[str, Path]) -> None:
    server = start("--model", str(models["mixed"]), "--name", "churn", "--workers", "2")

    client.wait_until_ready(server.url, "churn", 30)
    for _ in range(10):
        assert client.predict(server.url, "churn", ROWS).predictions == own_labels(models["mixed"])
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0


def test_start_imports_nothing_heavy(models: dict[str, Path]) -> None:
    program = (
        "import sys\n"
        "from stagewright.components.predictor import arguments, server\n"
        f"settings = arguments.parse(['--model', {str(models['mixed'])!r}])\n"
        "from stagewright.components.predictor.models import loading, repository_backend\n"
        "loading.load_model(repository_backend.Location('m', settings.models[0][1]), settings)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    heavy = {
        "kfp",
        "polars",
        "pandas",
        "pydantic",
        "mlflow",
        "sklearn",
        "scipy",
        "minio",
        "onnx",
        "pyarrow",
        "matplotlib",
        "yaml",
    }
    assert heavy.isdisjoint(loaded)
    assert "onnxruntime" in loaded


def test_a_taken_port_is_said_at_once(models: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = refused("--model", str(models["mixed"]), "--name", "churn", "--host", "127.0.0.1", "--port", str(port))

    assert ended == (2, f"port {port} is taken on 127.0.0.1; end what listens there or choose another with --port\n")


def test_a_missing_model(tmp_path: Path) -> None:
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()

    assert refused("--port=0", "--model", str(nowhere), "--name=x") == (
        2,
        f"no model folder {nowhere}: the path does not exist\n",
    )
    assert refused("--port=0", "--model", str(empty)) == (
        2, f"no model.onnx in {empty} or in its serving folder: this is not an exported model\n",
    )  # fmt: skip


def test_no_model_given() -> None:
    code, said = refused("--port=0", STORAGE_URI="")

    assert (code, said) == (2, "no model given: use --model, set STORAGE_URI or mount one at /mnt/models\n")


def test_a_corrupt_graph(tmp_path: Path, models: dict[str, Path]) -> None:
    (tmp_path / "model.onnx").write_bytes((models["mixed"] / "model.onnx").read_bytes()[:700])
    (tmp_path / "signature.json").write_bytes((models["mixed"] / "signature.json").read_bytes())

    for workers in ("1", "2"):
        code, said = refused("--port=0", "--model", str(tmp_path), "--name=x", "--workers", workers)

        assert code == 2
        assert said.startswith(
            f"model.onnx of the model at {tmp_path} cannot be loaded: [ONNXRuntimeError] : 7 : INVALID_PROTOBUF"
        )
        assert said.count("\n") == 1


def test_a_signature_that_does_not_fit(tmp_path: Path) -> None:
    wrong = Signature("binary", (*onnx_models.MIXED.inputs, Input("plan", "categorical")), classes=("No", "Yes"))
    onnx_models.write_mixed(tmp_path, wrong)

    assert refused("--port=0", "--model", str(tmp_path), "--name=x") == (
        2, f"the graph of the model at {tmp_path} has no input 'plan', which its signature names\n",
    )  # fmt: skip


NO_ADDRESS = "parameter 'host' is '203.0.113.1'; expected an address of this machine (Cannot assign requested address)"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prot", "1"], "unrecognized arguments: --prot 1; see --help"),
        (["--port", "http"], "parameter 'port' is 'http'; expected an integer"),
        (["--port", "70000"], "parameter 'port' is 70000; expected a port number from 0 to 65535; 0 takes a free one"),
        (["--workers", "0"], "parameter 'workers' is 0; expected at least 1"),
        (["--host", "203.0.113.1", "--model", "."], NO_ADDRESS),
    ],
)  # fmt: skip
def test_bad_arguments(arguments: list[str], sentence: str) -> None:
    assert refused(*arguments) == (2, sentence + "\n")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.write_slow(tmp_path_factory.mktemp("slow"))


def ask_slowly(url: str) -> tuple[threading.Thread, list[Any]]:
    """A request that is being answered when this returns."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.predict(url, "slow", [[5.0]]).predictions)
        except client.ServiceUnavailable as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # until the server says that a second request beside this question is in flight
        metrics = urllib3.request("GET", f"{url}/metrics").data.decode()
        if "stagewright_requests_in_flight 2.0" in metrics:
            return thread, answers
        time.sleep(0.01)
    raise AssertionError("the request was never seen in flight")


def test_sigterm_finishes_what_was_begun(start: Start, slow: Path) -> None:
    server = start("--model", str(slow), "--name", "slow", "--threads", "1")
    thread, answers = ask_slowly(server.url)

    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(30) == 0
    thread.join(10)
    assert answers == [[5.0]]
    with pytest.raises(client.ServiceUnavailable, match="Connection refused"):
        client.predict(server.url, "slow", [[5.0]])


def test_health_answers_while_a_model_computes(start: Start, slow: Path) -> None:
    server = start("--model", str(slow), "--name", "slow", "--threads", "1")
    thread, answers = ask_slowly(server.url)

    waits = []
    while not answers:
        began = time.perf_counter()
        assert urllib3.request("GET", f"{server.url}/v2/health/live").status == 200
        waits.append(time.perf_counter() - began)

    thread.join()
    assert answers == [[5.0]]
    assert len(waits) >= 3
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_nothing_is_written(start: Start, models: dict[str, Path]) -> None:
    """The process needs no home and no temporary folder, and keeps no file open: a read-only file system is enough."""
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "PYTHONPYCACHEPREFIX"), "/nonexistent")

    server = start("--model", str(models["mixed"]), "--name", "churn", environment={**nowhere, "PYTHONDONTWRITEBYTECODE": "1"})

    assert client.predict(server.url, "churn", ROWS).predictions == own_labels(models["mixed"])
    opened = [str(file.readlink()) for file in Path(f"/proc/{server.process.pid}/fd").iterdir() if file.exists()]
    assert not [target for target in opened if target.startswith("/") and not target.startswith(("/dev/", "/proc/"))]
    assert not Path("/nonexistent").exists()  # ONNX Runtime's telemetry would have made it


def test_over_a_socket_errors_and_keep_alive_work(start: Start, models: dict[str, Path]) -> None:
    server = start("--model", str(models["mixed"]), "--name", "churn", "--max-body-mb", "1")
    with urllib3.PoolManager(maxsize=1, block=True) as pool:
        for body, status in ((b"{", 400), (b" " * (3 << 20), 413), (json.dumps({"instances": ROWS}).encode(), 200)):
            answer = pool.request("POST", f"{server.url}/v1/models/churn:predict", body=body, retries=False)
            assert answer.status == status
        assert pool.request("HEAD", f"{server.url}/v2/health/live").status == 200

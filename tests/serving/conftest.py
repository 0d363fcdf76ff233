"""Small real models, served in this process and by a real one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import onnx_models
from support.asgi_client import AsgiClient

from stagewright.components.predictor import model_source
from stagewright.components.predictor.http.app import Application, Limits
from stagewright.components.predictor.inference.model import OnnxModel

PREDICTOR = (sys.executable, "-m", "stagewright.components.predictor")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exported models by name: mixed (binary, five kinds of columns), wine (three integer classes), diabetes (a number)."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "mixed": onnx_models.write_mixed(folder / "mixed"),
        "wine": onnx_models.write_wine(folder / "wine"),
        "diabetes": onnx_models.write_diabetes(folder / "diabetes"),
    }


def application(folder: Path, name: str, limits: Limits | None = None) -> Application:
    served = Application(name, limits=limits)
    served.models.serve(OnnxModel.load(model_source.read(str(folder)), name, version="v1.2.3"))
    return served


@pytest.fixture(scope="session")
def mixed(models: dict[str, Path]) -> AsgiClient:
    return AsgiClient(application(models["mixed"], "churn"))


@pytest.fixture(scope="session")
def wine_model(models: dict[str, Path]) -> AsgiClient:
    return AsgiClient(application(models["wine"], "wine"))


@pytest.fixture(scope="session")
def diabetes_model(models: dict[str, Path]) -> AsgiClient:
    return AsgiClient(application(models["diabetes"], "diabetes"))


@dataclass
class Server:
    """A predictor's process that serves."""

    process: subprocess.Popen[bytes]
    url: str
    announced: dict[str, Any]


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start `python -m stagewright.components.predictor` on a free port and wait until it has announced its model."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, environment: dict[str, str] | None = None) -> Server:
        command = [
            sys.executable,
            "-m",
            "stagewright.components.predictor",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            *arguments,
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
        )
        running.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line.decode())
            if b"model_served" in line:
                break
        else:
            pytest.fail("the predictor ended: " + "".join(said))
        announced = json.loads(said[-1])
        return Server(process, f"http://127.0.0.1:{announced['port']}", announced)

    yield begin
    for process in running:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            assert process.stderr is not None
            process.stderr.close()

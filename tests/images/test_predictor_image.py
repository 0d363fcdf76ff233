"""The predictor's container, as a cluster runs it: no rights, nothing writable, little memory."""

import time
from pathlib import Path

import polars as pl
import pytest
from support.docker import HARDENED, container, docker, wait_for
from support.runs import Finished

from stagewright.components.images import image
from stagewright.components.predictor.trees import native
from stagewright.components.runtime import processes
from stagewright.components.serving import client

NAME = "churn-in-containers"
FIRST_ANSWER_SECONDS = 6.0  # the goal is 3; benchmarks/images.py measures it on a quiet machine


@pytest.fixture
def port() -> int:
    return processes.free_port()


@pytest.fixture
def storage() -> tuple[str, ...]:
    return ("--env=AWS_ENDPOINT_URL", "--env=AWS_ACCESS_KEY_ID", "--env=AWS_SECRET_ACCESS_KEY", "--env=AWS_REGION")


def test_serves_from_the_object_store_is_healthy_and_ends_in_order(
    finished: Finished, storage: tuple[str, ...], port: int, telco: pl.DataFrame
) -> None:
    began = time.monotonic()
    command = ("--model", finished.outputs["model_uri"], "--name", NAME)
    with container(image("predictor"), *command, options=(*HARDENED, *storage, f"--env=PORT={port}")) as running:
        endpoint = f"http://127.0.0.1:{port}"
        client.wait_until_ready(endpoint, NAME, 30.0)
        answer = client.predict(endpoint, NAME, telco.drop("churn").head(1).to_dicts())
        seconds = time.monotonic() - began
        baseline = finished.model / "serving" / "baseline.parquet"
        client.smoke_test(endpoint, NAME, baseline, tolerance=1e-5)

        for module in ("conversion", "trees.kernel") if native.available() else ():  # where the image was built, a compiler was
            docker("exec", running, "python", "-c", f"import stagewright.components.predictor.{module}")
        wait_for(running, "{{.State.Health.Status}}", "healthy", seconds=30)
        docker("kill", "--signal=TERM", running)
        wait_for(running, "{{.State.Status}}", "exited", seconds=10)
        assert docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", running) == "0 false"
        assert docker("diff", running) == ""

    assert answer.model_version == "v1.0.0"
    assert seconds < FIRST_ANSWER_SECONDS


def test_serves_a_model_that_is_mounted_as_kserve_mounts_it(finished: Finished, port: int, telco: pl.DataFrame) -> None:
    mounted = (*HARDENED, f"--env=PORT={port}", f"--volume={finished.model}:/mnt/models:ro")
    with container(image("predictor"), "--name", NAME, options=mounted):
        client.wait_until_ready(f"http://127.0.0.1:{port}", NAME, 30.0)
        answer = client.predict(f"http://127.0.0.1:{port}", NAME, telco.drop("churn").head(5).to_dicts())

    assert len(answer.predictions) == 5


def test_is_unhealthy_without_a_model_and_says_why(port: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    options = (*HARDENED, f"--env=PORT={port}", f"--volume={tmp_path}:/mnt/models:ro")
    with container(image("predictor"), "--name", NAME, options=options) as running:
        wait_for(running, "{{.State.Status}}", "exited", seconds=15)
        code = docker("inspect", "--format", "{{.State.ExitCode}}", running)

    assert code == "2"

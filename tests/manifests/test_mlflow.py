"""MLflow as the rendered Deployment starts it, over a real PostgreSQL and a real S3 server, as the user of its policy."""

import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import postgres
from support.manifests import MANIFESTS, find

from stagewright.components.runtime.processes import free_port
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.tooling.store_setup import set_up

DRIVERS = all(importlib.util.find_spec(name) for name in ("boto3", "psycopg2", "prometheus_flask_exporter"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing()),
    pytest.mark.skipif(not DRIVERS, reason="the libraries of the extra 'mlflow' are not installed"),
]


@pytest.fixture
def database() -> Iterator[tuple[int, str]]:
    """Port and password of a PostgreSQL that asks for it, as the StatefulSet's does, with an empty database."""
    with postgres.running() as found:
        found.make("mlflow")
        yield found.port, found.password


@pytest.fixture
def server(object_store: str, database: tuple[int, str], tmp_path: Path) -> Iterator[str]:
    """The address of MLflow, migrated and started with the manifest's own commands, arguments and settings."""
    users = tmp_path / "users"
    for policy in (MANIFESTS / "base/minio/policies").glob("*.json"):
        (users / policy.stem).mkdir(parents=True)
        (users / policy.stem / "AWS_ACCESS_KEY_ID").write_text(policy.stem)
        (users / policy.stem / "AWS_SECRET_ACCESS_KEY").write_text(f"{policy.stem}-password-of-a-test")
    set_up(buckets=["mlflow"], policies=MANIFESTS / "base/minio/policies", users=users)
    pod = find("overlays/kind", "Deployment", "mlflow")["spec"]["template"]["spec"]
    (migrate,), (serve,) = pod["initContainers"], pod["containers"]
    port, secret = database
    environment = {
        **find("overlays/kind", "ConfigMap", "mlflow")["data"],
        "MLFLOW_S3_ENDPOINT_URL": object_store,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PGUSER": "mlflow",
        "PGPASSWORD": secret,
        "AWS_ACCESS_KEY_ID": "mlflow",
        "AWS_SECRET_ACCESS_KEY": "mlflow-password-of-a-test",
        "HOME": str(tmp_path),
    }
    uri = "MLFLOW_BACKEND_STORE_URI"
    environment[uri] = environment[uri].replace("mlflow-postgresql:5432", f"127.0.0.1:{port}")
    assert secret not in environment[uri]
    for _ in range(2):  # on an empty database, and on one that is up to date
        subprocess.run(migrate["command"], env=environment, check=True, capture_output=True)
    own = free_port(55000)
    arguments = [text.replace("5000", str(own)).replace("/tmp/metrics", str(tmp_path / "metrics")) for text in serve["args"]]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*serve["command"], *arguments], env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{own}"
            _until(lambda: _answers(address + serve["readinessProbe"]["httpGet"]["path"]))
            yield address
        finally:
            process.terminate()
            process.wait(30)


def test_runs_and_artifacts_go_through_the_server(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)  # the client has no credentials of the store
    client = mlflow.MlflowClient(tracking_uri=server)
    file = tmp_path / "model.txt"
    file.write_text("a model")

    run = client.create_run(client.create_experiment("churn")).info.run_id
    client.log_artifact(run, str(file))

    assert Path(client.download_artifacts(run, "model.txt", str(tmp_path / "users"))).read_text() == "a model"
    monkeypatch.undo()
    stored = [info.uri for info in ObjectStore.from_environment("a test looks").list("s3://mlflow/")]
    assert any(run in uri and uri.endswith("model.txt") for uri in stored)


def test_prometheus_is_answered_and_foreign_hosts_are_not(server: str) -> None:
    path = "/api/2.0/mlflow/experiments/search?max_results=1"

    assert _answers(server + path, host="mlflow:5000")
    assert _answers(server + path, host="mlflow.stagewright.svc.cluster.local:5000")
    assert not _answers(server + path, host="evil.example.com")
    with urllib.request.urlopen(urllib.request.Request(server + "/metrics", headers={"Host": "10.0.0.7:5000"})) as answer:
        assert b"mlflow_http_request_total" in answer.read()


def _answers(url: str, host: str = "localhost:5000") -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not ready():
        assert time.monotonic() < deadline, "it did not become ready"
        time.sleep(0.3)

"""One call for three targets, from a really published model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from support.exported_models import write_wine_model

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving import client
from stagewright.components.serving.deploy import deploy
from stagewright.components.serving.publish import Published, publish
from stagewright.components.serving.targets import local


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for deployment in local.services():
        processes.stop(deployment.process)


@pytest.fixture(scope="module")
def store(object_store: str) -> ObjectStore:
    return ObjectStore.from_environment("the object store is needed by a test")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def published(store: ObjectStore, model: Path) -> Published:
    return publish(model, store, name="wine-deployed", version="v1.0.0")


def test_local_serves_what_was_published(home: Path, published: Published, model: Path) -> None:
    deployed = deploy(name="wine", version="v1.0.0", model_uri=published.uri, timeout_seconds=30)

    test = client.smoke_test(deployed.endpoint, "wine", model / "serving/baseline.parquet")
    assert test.largest_difference <= 1e-5
    document = yaml.safe_load(deployed.manifest)
    assert document["metadata"]["annotations"]["stagewright/digest"] == published.digest
    assert document["spec"]["predictor"]["model"]["storageUri"] == published.uri.rstrip("/")
    assert deployed.details["port"] == local.services()[0].port


def test_local_serves_a_folder(home: Path, model: Path) -> None:
    deployed = deploy(name="wine", version="v1.0.0", model_uri=str(model), timeout_seconds=30)

    client.wait_until_ready(deployed.endpoint, "wine", 1.0)
    assert deployed.manifest == ""


def test_a_baseline_of_another_model_stops_a_deployment(home: Path, store: ObjectStore, tmp_path: Path) -> None:
    wrong = publish(
        write_wine_model(tmp_path / "wrong", wrong_baseline=True), store, name=f"wrong-{uuid4().hex[:8]}", version="v1.0.0"
    )

    with pytest.raises(GateFailed, match=r"the deployment of model 'wine' v1.0.0 did not pass: the smoke test"):
        deploy(name="wine", version="v1.0.0", model_uri=wrong.uri, timeout_seconds=30)
    assert local.services() == []


def test_gitops_writes_the_same_manifest(published: Published, tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()

    deployed = deploy(
        name="wine",
        version="v1.0.0",
        model_uri=published.uri,
        target="gitops",
        namespace="models",
        gitops=str(tmp_path / "apps"),
    )

    assert deployed.endpoint == ""
    assert deployed.details["path"] == str(tmp_path / "apps/models/wine")
    rendered = subprocess.run(
        ["kubectl", "kustomize", deployed.details["path"]], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    ).stdout  # fmt: skip
    assert yaml.safe_load(rendered) == yaml.safe_load(deployed.manifest)


def test_a_model_that_is_not_published_is_told_before_the_cluster_is_asked(store: ObjectStore) -> None:
    store.ensure_bucket("models")

    with pytest.raises(InputError, match=r"no model is published at s3://models/nobody/v1.0.0/"):
        deploy(name="wine", version="v1.0.0", model_uri="s3://models/nobody/v1.0.0/", target="cluster")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target": "clusters"}, r"parameter 'target' is 'clusters'; expected one of local, cluster, gitops \(did you mean"),
        ({"variant": "tpu"}, "parameter 'variant' is 'tpu'; expected one of cpu"),
        (
            {"target": "cluster", "model_uri": "FOLDER"},
            "parameter 'model_uri' is .*; expected the s3:// URI of a published model",
        ),
    ],
)
def test_unusable_parameters_are_named(published: Published, model: Path, changes: dict[str, str], sentence: str) -> None:
    given = {"name": "wine", "version": "v1.0.0", "model_uri": published.uri} | changes
    if given["model_uri"] == "FOLDER":
        given["model_uri"] = str(model)
    with pytest.raises(BadParameter, match=sentence):
        deploy(**given)

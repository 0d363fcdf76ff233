"""`deploy_model` with the cluster target, from a really published model to a service on a real API server."""

from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from support.exported_models import write_wine_model
from support.kserve import Services, ready
from support.predictors import predictor

from stagewright.components.export.targets.triton import write_variant
from stagewright.components.runtime.errors import GateFailed, InputError
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.deploy import deploy
from stagewright.components.serving.manifests.inference_service import inference_service
from stagewright.components.serving.publish import publish
from stagewright.components.serving.targets import cluster as target


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("model") / "model")


def test_what_is_applied_is_what_is_written_down(object_store: str, services: Services, model: Path) -> None:
    """Without a namespace, into the one of the kubeconfig's context."""
    del object_store
    store = ObjectStore.from_environment("the object store is needed by a test")
    published = publish(model, store, name=f"wine-{uuid4().hex[:8]}", version="v1.0.0")

    with predictor(model, name="wine", version="v1.0.0") as url, services.controller("wine", ready(url)):
        deployed = deploy(name="wine", version="v1.0.0", model_uri=published.uri, target="cluster", timeout_seconds=60)

    assert deployed.endpoint == url
    document = yaml.safe_load(deployed.manifest)
    assert document["metadata"]["namespace"] == services.namespace
    assert deployed.details == {"namespace": services.namespace}
    found = services.get("wine")
    assert found["spec"] == document["spec"]
    assert found["metadata"]["annotations"]["stagewright/digest"] == published.digest


def test_a_model_that_is_not_published_is_told_before_anything_changes(object_store: str, services: Services) -> None:
    del object_store
    ObjectStore.from_environment("the object store is needed by a test").ensure_bucket("models")

    with pytest.raises(InputError, match=r"no model is published at s3://models/nobody/v1.0.0/"):
        deploy(name="wine", version="v1.0.0", model_uri="s3://models/nobody/v1.0.0/", target="cluster")
    assert services.find("wine") is None


def test_a_triton_service_is_asked_for_its_own_number(model: Path, services: Services, tmp_path: Path) -> None:
    write_variant(model, tmp_path / "variant", name="wine", version="v1.1.0")
    baseline = (tmp_path / "variant/serving/baseline.parquet").read_bytes()

    def put(version: str, timeout: float) -> str:
        given = {"name": "wine", "version": version, "model_uri": f"s3://models/wine/{version}/", "variant": "gpu-triton"}
        document = inference_service(**given, namespace=services.namespace)
        return target.deploy(document, baseline=baseline, timeout=timeout, poll=0.05, settle=0.2)

    with predictor(model, name="wine", version="1001000") as url, services.controller("wine", ready(url)):
        assert put("v1.1.0", 60.0) == url
        with pytest.raises(GateFailed, match="the smoke test had no answer"):
            put("v1.2.0", 1.0)

"""The serving components: wrappers called as a runner calls them, and what their specs promise."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from kfp import dsl
from support.exported_models import write_wine_model

from stagewright.components.export.component import import_model
from stagewright.components.runtime import processes
from stagewright.components.serving import client
from stagewright.components.serving.component import deploy_model, publish_model
from stagewright.components.serving.targets import local


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for deployment in local.services():
        processes.stop(deployment.process)


def test_import_publish_and_deploy(object_store: str, home: Path, tmp_path: Path) -> None:
    source = write_wine_model(tmp_path / "source")
    (tmp_path / "card.md").write_text("# Wine\n")
    model = dsl.Model(name="model", uri=str(tmp_path / "model"))
    card = dsl.Markdown(name="card", uri=str(tmp_path / "card.md"))
    manifest = dsl.Artifact(name="manifest", uri=str(tmp_path / "manifest.yaml"))
    name = f"wine-{uuid4().hex[:8]}"

    import_model.python_func(source=str(source), model=model)
    uri = publish_model.python_func(model=model, card=card, name=name, version="v1.0.0")
    endpoint = deploy_model.python_func(manifest=manifest, name=name, version="v1.0.0", model_uri=uri, timeout_seconds=30)

    assert model.metadata == {"task": "multiclass", "source": str(source)}
    assert uri == f"s3://models/{name}/v1.0.0/"
    assert client.smoke_test(endpoint, name, source / "serving/baseline.parquet").rows > 50
    document = yaml.safe_load(Path(manifest.path).read_text())
    assert document["metadata"]["name"] == name
    assert manifest.metadata["endpoint"] == endpoint


def test_gitops_has_no_endpoint_yet(object_store: str, tmp_path: Path) -> None:
    model = dsl.Model(name="model", uri=str(write_wine_model(tmp_path / "model")))
    (tmp_path / "card.md").write_text("# Wine\n")
    manifest = dsl.Artifact(name="manifest", uri=str(tmp_path / "manifest.yaml"))
    name = f"wine-{uuid4().hex[:8]}"
    uri = publish_model.python_func(
        model=model, card=dsl.Markdown(name="card", uri=str(tmp_path / "card.md")), name=name, version="v1.0.0"
    )
    (tmp_path / "apps").mkdir()

    endpoint = deploy_model.python_func(
        manifest=manifest, name=name, version="v1.0.0", model_uri=uri, target="gitops", gitops=str(tmp_path / "apps"),
        max_replicas=3, cpu_limit="2",
    )  # fmt: skip

    assert endpoint == ""
    written = yaml.safe_load((tmp_path / f"apps/default/{name}/inference-service.yaml").read_text())
    assert written["spec"] == yaml.safe_load(Path(manifest.path).read_text())["spec"]
    assert written["spec"]["predictor"]["maxReplicas"] == 3
    assert written["spec"]["predictor"]["model"]["resources"]["limits"]["cpu"] == "2"


def test_a_gate_ends_with_exit_code_1(object_store: str, home: Path, tmp_path: Path) -> None:
    model = dsl.Model(name="model", uri=str(write_wine_model(tmp_path / "model", wrong_baseline=True)))
    manifest = dsl.Artifact(name="manifest", uri=str(tmp_path / "manifest.yaml"))

    with pytest.raises(SystemExit) as ended:
        deploy_model.python_func(manifest=manifest, name="wine", version="v1.0.0", model_uri=model.path, timeout_seconds=30)
    assert ended.value.code == 1


@pytest.mark.parametrize("component", [import_model, publish_model, deploy_model])
def test_effects_outside_the_run_are_never_cached(component) -> None:
    assert component.cacheable is False


def test_defaults_of_the_wrapper_are_those_of_the_logic() -> None:
    from stagewright.components.serving.manifests.inference_service import REPLICAS, RESOURCES
    from stagewright.components.serving.manifests.serving_runtime import SERVICE_ACCOUNT

    inputs = deploy_model.component_spec.inputs
    assert inputs is not None
    expected = {
        "cpu_request": RESOURCES.cpu_request,
        "cpu_limit": RESOURCES.cpu_limit,
        "memory_request": RESOURCES.memory_request,
        "memory_limit": RESOURCES.memory_limit,
        "min_replicas": REPLICAS.minimum,
        "max_replicas": REPLICAS.maximum,
        "service_account": SERVICE_ACCOUNT,
    }
    assert {name: inputs[name].default for name in expected} == expected

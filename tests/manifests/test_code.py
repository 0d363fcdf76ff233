"""Every object that our code makes for a cluster is one that the real schemas accept."""

from pathlib import Path
from typing import Any

import pytest
from support.manifests import VALIDATOR, validate

from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.canary import splitter, standard_canary
from stagewright.components.serving.manifests.inference_service import MODES, Replicas
from stagewright.components.serving.manifests.serving_runtime import serving_runtime, storage_access, triton_runtime
from stagewright.components.serving.variants import VARIANTS
from stagewright.pipelines.cli import secrets
from stagewright.pipelines.kubeflow.compile import compile_pipelines
from stagewright.pipelines.tooling import examples

pytestmark = pytest.mark.skipif(
    not VALIDATOR.exists(), reason="the validator and the schemas lie in ../shared, which this clone lacks"
)


def made() -> list[dict[str, Any]]:
    services = [
        examples.service(variant, mode=mode, replicas=replicas)
        for variant in VARIANTS
        for mode in MODES
        for replicas in (Replicas(), Replicas(1, 3))
    ]
    stable, candidate = examples.service(), examples.service(version="v1.1.0")
    return [
        *services,
        examples.service(mode="Knative", traffic=10),
        standard_canary(stable, candidate, traffic=10, supported=True),
        *(splitter("split", {"a": 1, "b": 99}, mode=mode) for mode in MODES),
        serving_runtime(registry="registry.example.com:5000/ml", tag="1.0.0"),
        serving_runtime(gpu=True),
        triton_runtime(),
        *storage_access(endpoint="https://minio.stagewright.svc:9000", authority="minio-ca"),
        *secrets.documents("stagewright"),
    ]


def test_objects_of_functions_are_valid(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text(to_yaml(*made()))

    done = validate(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(made())} objects valid, 0 invalid, 0 skipped" in done.stdout


@pytest.mark.parametrize("profile", ["default", "gpu"])
def test_compiled_pipelines_are_valid(profile: str, tmp_path: Path) -> None:
    compile_pipelines(
        [], tmp_path, format="kubernetes", profile=profile, namespace="stagewright", registry="registry.example.com"
    )

    done = validate(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mistake_in_the_tree_would_be_seen(tmp_path: Path) -> None:
    wrong = examples.service()
    wrong["spec"]["predictor"]["model"]["storageURI"] = wrong["spec"]["predictor"]["model"].pop("storageUri")
    (tmp_path / "wrong.yaml").write_text(to_yaml(wrong))

    done = validate(tmp_path)

    assert done.returncode == 1
    assert "storageURI: unknown field" in done.stdout

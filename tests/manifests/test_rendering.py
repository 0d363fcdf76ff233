"""Every base, overlay, example and GitOps folder builds, to the same bytes, into objects that the real schemas accept."""

from pathlib import Path

import pytest
from support.manifests import VALIDATOR, build, kustomizations, objects, rendered, validate

FOLDERS = kustomizations()


def test_the_whole_tree_is_found() -> None:
    assert {
        "base/minio", "base/mlflow", "base/pipelines", "base/serving", "base/monitoring",
        "inference/overlays/cpu", "inference/overlays/cpu-int8", "inference/overlays/gpu", "inference/overlays/gpu-fp16",
        "inference/overlays/gpu-triton", "inference/language-model", "inference/overlays/llm-awq",
        "inference/overlays/llm-gptq", "inference/overlays/llm-fp8", "inference/canary", "inference/splitter",
        "overlays/kind", "overlays/production", "overlays/gpu",
        "gitops/argocd", "gitops/flux", "gitops/pipelines/staging", "gitops/pipelines/production",
    } <= set(FOLDERS)  # fmt: skip


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator and the schemas lie in ../shared, which this clone lacks")
def test_every_object_is_valid(tmp_path: Path) -> None:
    for folder in FOLDERS:
        (tmp_path / f"{folder.replace('/', '-')}.yaml").write_text(rendered(folder))

    done = validate(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(len(objects(folder)) for folder in FOLDERS)} objects valid, 0 invalid, 0 skipped" in done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["base", "overlays/production", "inference/splitter"])
def test_rendering_twice_gives_the_same_bytes(folder: str) -> None:
    assert build(folder) == rendered(folder)


@pytest.mark.parametrize("folder", ["overlays/kind", "overlays/production", "overlays/gpu"])
def test_an_overlay_is_one_namespace_with_everything_in_it(folder: str) -> None:
    namespaces = {item["metadata"].get("namespace") for item in objects(folder) if item["kind"] != "Namespace"}

    assert namespaces == {"stagewright"}
    assert {item["metadata"]["name"] for item in objects(folder) if item["kind"] == "Namespace"} == {"stagewright"}


@pytest.mark.parametrize("folder", ["overlays/kind", "overlays/production", "overlays/gpu"])
def test_what_objects_refer_to_is_there_or_is_a_known_secret(folder: str) -> None:
    from stagewright.pipelines.cli.secrets import CREDENTIALS

    names = {(item["kind"], item["metadata"]["name"]) for item in objects(folder)}
    secrets = {credentials.name for credentials in CREDENTIALS} | {"minio-tls", "stagewright-alerts"}
    # The authority's certificate is public, and the site's own.
    given = {"minio-ca"}

    for kind, name in {reference for item in objects(folder) for reference in _references(item)}:
        assert (kind, name) in names or (kind == "Secret" and name in secrets) or (kind == "ConfigMap" and name in given), (
            kind,
            name,
        )


def _references(value: object) -> set[tuple[str, str]]:
    """ConfigMaps, Secrets and ServiceAccounts that an object names."""
    found: set[tuple[str, str]] = set()
    kinds = {"configMapKeyRef": "ConfigMap", "configMapRef": "ConfigMap", "configMap": "ConfigMap",
             "secretKeyRef": "Secret", "secret": "Secret", "urlSecret": "Secret"}  # fmt: skip
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in kinds and isinstance(inner, dict):
                found.add((kinds[key], inner.get("name") or inner["secretName"]))
            if key == "serviceAccountName":
                found.add(("ServiceAccount", inner))
            found |= _references(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= _references(inner)
    return found


@pytest.mark.parametrize("folder", ["overlays/kind", "overlays/production"])
def test_services_and_policies_select_pods_that_exist(folder: str) -> None:
    pods = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in objects(folder)
        if item["kind"] in {"Deployment", "StatefulSet", "Job"}
    ]
    # KServe gives an InferenceService's labels to its pods.
    pods += [
        {"app.kubernetes.io/component": component, "app.kubernetes.io/part-of": "stagewright"}
        for component in ("predictor", "language-model")
    ]
    for item in objects(folder):
        wanted = {
            "Service": lambda spec: spec.get("selector"),
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"], lambda _: None)(item.get("spec", {}))
        if wanted is not None:
            assert any(wanted.items() <= labels.items() for labels in pods), item["metadata"]["name"]

"""What the GitOps controllers are told: order, health, promotion."""

import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import kserve
from support.manifests import MANIFESTS, ROOT, Document, find, kustomizations, objects

from stagewright.components.serving.targets.cluster_client import _verb
from stagewright.components.serving.targets.readiness import readiness
from stagewright.pipelines import catalog
from stagewright.pipelines.kubeflow.compile import compile_pipelines
from stagewright.pipelines.tooling import examples

WAVE = "argocd.argoproj.io/sync-wave"
LUA = next((path for name in ("lua", "lua5.4", "lua5.3", "lua5.1") if (path := shutil.which(name))), None)


def test_waves_order_what_depends_on_each_other() -> None:
    waves = {
        (item["kind"], item["metadata"]["name"]): int((item["metadata"].get("annotations") or {}).get(WAVE, 0))
        for item in objects("overlays/production")
    }

    assert waves["StatefulSet", "minio"] < waves["Deployment", "mlflow"] < waves["ServingRuntime", "stagewright-predictor"]
    assert waves["ConfigMap", "stagewright-config"] < waves["PrometheusRule", "stagewright"]
    assert waves["ExternalSecret", "minio-root"] <= waves["StatefulSet", "minio"]


def test_applications_point_to_folders_that_are_there() -> None:
    generator = find("gitops/argocd", "ApplicationSet", "stagewright")["spec"]["generators"][0]["matrix"]["generators"]
    clusters_, parts = (each["list"]["elements"] for each in generator)

    for cluster in clusters_:
        for part in parts:
            assert f"gitops/{part['part']}/{cluster['cluster']}" in kustomizations()


def test_every_application_is_applied_on_the_server_s_side_within_the_project() -> None:
    project = find("gitops/argocd", "AppProject", "stagewright")["spec"]
    for name in ("stagewright", "stagewright-models"):
        spec = find("gitops/argocd", "ApplicationSet", name)["spec"]["template"]["spec"]
        assert "ServerSideApply=true" in spec["syncPolicy"]["syncOptions"]
        assert spec["source"]["repoURL"] in project["sourceRepos"]
        assert spec["destination"]["namespace"] in {place["namespace"] for place in project["destinations"]}


def test_the_project_allows_what_the_overlays_hold() -> None:
    project = find("gitops/argocd", "AppProject", "stagewright")["spec"]
    allowed = {item["kind"] for item in project["clusterResourceWhitelist"]}
    refused = {item["kind"] for item in project["namespaceResourceBlacklist"]}

    items = [*objects("gitops/platform/production"), *objects("gitops/pipelines/production")]
    assert {item["kind"] for item in items if "namespace" not in item["metadata"]} <= allowed
    assert not {item["kind"] for item in items} & refused


def test_flux_waits_for_what_the_next_depends_on() -> None:
    found = {item["metadata"]["name"]: item["spec"] for item in objects("gitops/flux") if item["kind"] == "Kustomization"}

    assert (
        found["stagewright-models"]["dependsOn"]
        == found["stagewright-pipelines"]["dependsOn"]
        == [{"name": "stagewright-platform"}]
    )
    for spec in found.values():
        assert spec["wait"] is True
        assert spec["timeout"]
        assert spec["sourceRef"] == {"kind": "GitRepository", "name": "stagewright"}
        assert spec["path"].startswith("./models/") or (ROOT / spec["path"]).is_dir()


@pytest.mark.parametrize("cluster", ["staging", "production"])
def test_a_cluster_s_pipelines_are_one_version_in_one_line(cluster: str) -> None:
    text = (MANIFESTS / f"gitops/pipelines/{cluster}/kustomization.yaml").read_text()

    assert len(re.findall(r"\d+\.\d+\.\d+", text)) == 1


def test_delivered_pipelines_are_those_that_there_are() -> None:
    items = objects("gitops/pipelines/production")

    names = {item["metadata"]["name"] for item in items if item["kind"] == "Pipeline"}
    assert names <= set(catalog.PIPELINES)
    assert {item["spec"]["pipelineName"] for item in items if item["kind"] == "PipelineVersion"} == names
    assert {item["metadata"]["namespace"] for item in items} == {"stagewright"}


RELEASED = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.skipif(version("stagewright") in RELEASED, reason="a released version stays as it was delivered")
def test_an_unreleased_version_is_what_compiles_now(tmp_path: Path) -> None:
    """0.1.0 is not released, so `make golden` writes it anew; a version with a heading in the changelog is never rewritten."""
    tag = version("stagewright")
    delivered = MANIFESTS / "gitops/pipelines/versions" / tag
    production = {"profile": "production", "registry": "registry.example.com/ml", "tag": tag}
    made = {path.name: path.read_bytes() for path in compile_pipelines([], tmp_path, format="kubernetes", **production)}

    listed = yaml.safe_load((delivered / "kustomization.yaml").read_text())["resources"]
    assert sorted(made) == listed == sorted(path.name for path in delivered.iterdir() if path.stem != "kustomization")
    for name, content in made.items():
        assert (delivered / name).read_bytes() == content, f"{name} is stale: run make golden"


def test_make_golden_leaves_a_released_version(tmp_path: Path) -> None:
    """What `make golden` would do, with and without a heading of this version in the changelog."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for path in (Path("pyproject.toml"), Path("requirements/dev.txt"), Path(".venv/bin/python"), Path(".venv/dev.stamp")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('version = "0.1.0"\nversion = "2.0"\n')
    for heading, written in (("## Unreleased", True), ("## 0.1.01", True), ("## 0.1.0 - 2026-12-01", False)):
        (tmp_path / "CHANGELOG.md").write_text(f"{heading}\n")
        shown = subprocess.run(["make", "-n", "golden"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert ("--tag 0.1.0 " in shown and "gitops/pipelines/versions/0.1.0\n" in shown) == written, heading


def test_our_images_have_the_version_of_this_release() -> None:
    for folder in ("base", "overlays/production"):
        for item in objects(folder):
            for name, tag in re.findall(r'"[^"]*(stagewright-[a-z-]+):([^"]+)"', json.dumps(item)):
                assert tag == version("stagewright"), name


def test_the_runner_may_do_to_services_what_deploy_model_does() -> None:
    rules = find("base/pipelines", "Role", "stagewright-runner")["rules"]
    (rule,) = (rule for rule in rules if "inferenceservices" in rule["resources"])

    # Server-side apply of an object that does not exist asks for create beside patch.
    assert set(rule["verbs"]) == {_verb(method) for method in ("GET", "PATCH", "DELETE")} | {"create"}
    assert not [rule for rule in rules if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]]
    assert all("resourceNames" in rule for rule in rules if {"secrets", "configmaps"} & set(rule["resources"]))


def test_kubeflows_own_account_may_do_what_ours_may() -> None:
    """It is the one of a run whose form on the dashboard leaves the account empty."""
    subjects = find("overlays/kind", "RoleBinding", "stagewright-runner")["subjects"]

    assert [(subject["name"], subject["namespace"]) for subject in subjects] == [
        ("stagewright-runner", "stagewright"), ("pipeline-runner", "stagewright"),
    ]  # fmt: skip


def test_the_launcher_finds_its_credentials() -> None:
    data = find("base/pipelines", "ConfigMap", "kfp-launcher")["data"]
    rules = find("base/pipelines", "Role", "stagewright-runner")["rules"]
    reference = yaml.safe_load(data["providers"])["s3"]["default"]["credentials"]["secretRef"]

    assert data["defaultPipelineRoot"].startswith("s3://pipelines/")
    assert [reference["secretName"]] in [rule.get("resourceNames") for rule in rules]


SERVICE: Document = {"metadata": {"generation": 2}}


def seen(**changes: Any) -> Document:
    """The status of a service that is ready, at generation 2, with changes of its model's status."""
    status = kserve.ready("http://churn")(SERVICE, 1)
    assert status is not None
    return status | {"modelStatus": status["modelStatus"] | changes}


HEALTH = {
    "new": ({}, "Progressing", "KServe has not seen it yet"),
    "an older version is ready": (seen() | {"observedGeneration": 1}, "Progressing", "KServe has not seen this version yet"),
    "no generation is told": (
        {key: value for key, value in seen().items() if key != "observedGeneration"},
        "Progressing",
        "KServe has not seen this version yet",
    ),
    "ready": (seen(), "Healthy", "The model answers"),
    "ready, without a status of the model": (seen() | {"modelStatus": None}, "Healthy", "The model answers"),
    "ready, with an empty status of the model": (seen(transitionStatus=""), "Healthy", "The model answers"),
    "ready by the old replicas": (
        seen(transitionStatus="InProgress", states={"activeModelState": "Loaded", "targetModelState": "Loading"}),
        "Progressing",
        "The model is InProgress, the new revision Loading",
    ),
    "ready, and the new revision takes over": (
        seen(transitionStatus="InProgress"), "Progressing", "The model is InProgress, the new revision Loaded"
    ),
    "up to date, but the new revision is not loaded": (
        seen(states={"activeModelState": "Loaded", "targetModelState": "Pending"}),
        "Progressing",
        "The model is UpToDate, the new revision Pending",
    ),
    "ready by the old replicas, and the new ones fail": (
        seen() | {"modelStatus": kserve.blocked("ModelLoadFailed", "NoSuchBucket")}, "Degraded", "ModelLoadFailed: NoSuchBucket"
    ),
    "the spec is wrong": (seen(transitionStatus="InvalidSpec"), "Degraded", "InvalidSpec"),
    "waiting": (
        {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Waiting"}]},
        "Progressing",
        "Ready: Waiting",
    ),
    "cannot be loaded": (
        kserve.failing(SERVICE, 1), "Degraded", "ModelLoadFailed: NoSuchBucket: the bucket does not exist"
    ),
}  # fmt: skip


@pytest.mark.skipif(LUA is None, reason="no Lua interpreter is installed: it comes with Debian's lua5.4")
@pytest.mark.parametrize("state", HEALTH)
def test_argo_cd_sees_the_health_of_a_model(state: str, tmp_path: Path) -> None:
    status, expected, message = HEALTH[state]
    service = examples.service()
    service["metadata"]["generation"] = 2

    assert health("InferenceService", service, status, tmp_path) == [expected, message]


@pytest.mark.skipif(LUA is None, reason="no Lua interpreter is installed: it comes with Debian's lua5.4")
@pytest.mark.parametrize("state", HEALTH)
def test_argo_cd_agrees_with_what_deploy_model_reads(state: str) -> None:
    status, expected, _ = HEALTH[state]
    found = readiness({"status": status}, 2)

    assert found.failed == (expected == "Degraded")
    if "the new revision is not loaded" not in state:  # for which deploy_model asks the pods
        assert found.ready == (expected == "Healthy")


GRAPH_HEALTH = {
    "new": ({}, "Progressing"),
    "ready": ({"conditions": [{"type": "Ready", "status": "True"}]}, "Healthy"),
    "ready at this generation": ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}, "Healthy"),
    "ready before": ({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}, "Progressing"),
}


@pytest.mark.skipif(LUA is None, reason="no Lua interpreter is installed: it comes with Debian's lua5.4")
@pytest.mark.parametrize("state", GRAPH_HEALTH)
def test_argo_cd_sees_the_health_of_a_graph(state: str, tmp_path: Path) -> None:
    status, expected = GRAPH_HEALTH[state]

    assert health("InferenceGraph", {"metadata": {"generation": 2}}, status, tmp_path)[0] == expected


def health(kind: str, found: Document, status: Document, folder: Path) -> list[str]:
    """What Argo CD's check says of an object: its health, and why."""
    document = {**found, "status": status} if status else found
    check = find("gitops/argocd", "ConfigMap", "argocd-cm")["data"][f"resource.customizations.health.serving.kserve.io_{kind}"]
    path = folder / "health.lua"
    script = f"obj = {_lua(document)}\nlocal function health()\n{check}\nend\nlocal h = health()\n"
    path.write_text(f'{script}print(h.status)\nprint((h.message:gsub("%s+", " ")))\n')
    done = subprocess.run([str(LUA), str(path)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _lua(value: object) -> str:
    """A value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {_lua(inner)}" for key, inner in value.items()) + "}"
    if value is None:
        return "nil"
    if isinstance(value, list):
        return "{" + ", ".join(_lua(inner) for inner in value) + "}"
    return json.dumps(value)


def test_delivered_steps_trust_the_authority_of_the_store() -> None:
    """The production overlay gives the store a certificate of a private authority."""
    authority = find("overlays/production", "ServiceMonitor", "minio")["spec"]["endpoints"][0]["tlsConfig"]["ca"]["configMap"]
    for item in objects("gitops/pipelines/production"):
        if item["kind"] == "PipelineVersion":
            platform = item["spec"]["platformSpec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            for label, executor in item["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].items():
                (volume,) = platform[label]["configMapAsVolume"]
                variables = {given["name"]: given["value"] for given in executor["container"]["env"]}
                assert volume["configMapName"] == authority["name"]
                assert variables["SSL_CERT_FILE"] == f"{volume['mountPath']}/{authority['key']}"

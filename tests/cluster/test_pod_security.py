"""Every pod that comes of our manifests and pipelines is admitted where Pod Security enforces `restricted`."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.api_server import ApiServer, Refused
from support.manifests import ROOT, in_namespace, kustomizations, objects

Document = dict[str, Any]

# What Kubeflow's backend gives each container of a step (kubeflow/pipelines, argocompiler), to which the profile adds.
KUBEFLOW = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
COMPILED = sorted((ROOT / "pipelines/compiled").glob("*.yaml"))


@pytest.fixture(scope="module")
def strict(api: ApiServer) -> str:
    """A namespace with the labels of ours."""
    name = api.namespace(enforce="privileged")
    api.apply(in_namespace(objects("base/namespace"), name), force=True)
    return name


def admitted(api: ApiServer, namespace: str, spec: Document) -> None:
    """Try to create a pod; what it would be refused for is raised."""
    spec = copy.deepcopy(spec)
    spec.setdefault("restartPolicy", "Always")
    spec.pop("serviceAccountName", None)  # that of the test's namespace: who a pod is makes no difference here
    spec["serviceAccountName"] = "default"
    pod = {"metadata": {"generateName": "tried-"}, "spec": spec}
    api.ask("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)


def test_the_namespace_enforces_the_restricted_standard(api: ApiServer, strict: str) -> None:
    labels = api.ask("GET", f"/api/v1/namespaces/{strict}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    with pytest.raises(Refused, match='violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'):
        admitted(api, strict, {"containers": [{"name": "any", "image": "any"}]})


TEMPLATES = [
    (folder, item["kind"], item["metadata"]["name"])
    for folder in kustomizations()
    for item in objects(folder)
    if item["kind"] in {"Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob"}
]


def test_the_manifests_have_pods_of_their_own() -> None:
    assert {kind for _, kind, _ in TEMPLATES} == {"Deployment", "StatefulSet", "Job"}


@pytest.mark.parametrize(("folder", "kind", "name"), TEMPLATES)
def test_pods_of_the_manifests_are_admitted(api: ApiServer, strict: str, folder: str, kind: str, name: str) -> None:
    (found,) = (item for item in objects(folder) if (item["kind"], item["metadata"]["name"]) == (kind, name))

    admitted(api, strict, found["spec"]["template"]["spec"] | {"volumes": _volumes(found)})


def _volumes(found: Document) -> list[Document]:
    """A stateful set's claims are volumes of its pods, too."""
    claims = found["spec"].get("volumeClaimTemplates") or []
    made = [{"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "any"}} for claim in claims]
    return [*(found["spec"]["template"]["spec"].get("volumes") or []), *made]


SERVICES = [
    (folder, i) for folder in kustomizations() for i, item in enumerate(objects(folder)) if item["kind"] == "InferenceService"
]


@pytest.mark.parametrize(("folder", "at"), SERVICES)
def test_pods_of_models_are_admitted_with_what_kserve_adds(api: ApiServer, strict: str, folder: str, at: int) -> None:
    for spec in _predictor_pods(objects(folder)[at]):
        admitted(api, strict, spec)


@pytest.mark.parametrize("storage_container", [False, True])
def test_without_our_storage_container_the_pod_would_be_refused(api: ApiServer, strict: str, storage_container: bool) -> None:
    (service,) = objects("inference/base")
    (spec,) = _predictor_pods(service)
    if storage_container:
        admitted(api, strict, spec)
        return
    spec["initContainers"][0].pop("securityContext")
    with pytest.raises(Refused, match="storage-initializer"):
        admitted(api, strict, spec)


def _predictor_pods(service: Document) -> Iterator[Document]:
    """The pods that KServe makes of a service: the runtime's container with the model's settings on top, and the container that
    fetches the model, with our ClusterStorageContainer merged into it."""
    for predictor in [service["spec"]["predictor"], *(canary["predictor"] for canary in service["spec"].get("canary") or [])]:
        model = predictor["model"]
        runtimes = {
            item["metadata"]["name"]: item["spec"] for item in objects("base/serving") if item["kind"] == "ServingRuntime"
        }
        runtime = runtimes.get(model.get("runtime"), {"containers": [{"name": "kserve-container", "image": "kserve/any"}]})
        known = {
            "env",
            "resources",
            "securityContext",
            "args",
            "volumeMounts",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
        }
        container = {**runtime["containers"][0], **{key: model[key] for key in known if key in model}}
        (storage,) = (
            item["spec"]["container"] for item in objects("base/namespace") if item["kind"] == "ClusterStorageContainer"
        )
        mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
        fetching = {"image": "kserve/storage-initializer", "args": ["s3://any", "/mnt/models"], "volumeMounts": [mount]}
        volumes = [*(runtime.get("volumes") or []), *(predictor.get("volumes") or []), {"name": mount["name"], "emptyDir": {}}]
        yield {
            "containers": [container],
            "initContainers": [{**fetching, **storage}],
            "volumes": list({volume["name"]: volume for volume in volumes}.values()),
            **({"securityContext": predictor["securityContext"]} if "securityContext" in predictor else {}),
        }


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_pods_of_pipeline_steps_are_admitted(api: ApiServer, strict: str, path: Any) -> None:
    spec, platform = yaml.safe_load_all(path.read_text())
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    for label, executor in spec["deploymentSpec"]["executors"].items():
        identity = settings[label]["securityContext"]
        container = {"name": "main", "image": executor["container"]["image"], "securityContext": {**KUBEFLOW, **identity}}
        launcher = {"name": "kfp-launcher", "image": "kfp-launcher", "securityContext": KUBEFLOW}
        admitted(api, strict, {"containers": [container], "initContainers": [launcher]})

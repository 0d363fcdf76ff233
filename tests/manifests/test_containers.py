"""Every container of every manifest is confined, has its resources, and tells whether it is well."""

import re
from typing import Any

import pytest
from support.manifests import containers, kustomizations, objects, pod_specs

ALL = [(folder, item) for folder in kustomizations() for item in objects(folder)]
CONTAINERS = [
    pytest.param(item["kind"], container, id=f"{folder}:{item['kind']}/{item['metadata']['name']}:{number}")
    for folder, item in ALL
    for number, container in enumerate(containers(item))
]
SERVERS = {"Deployment", "StatefulSet", "ServingRuntime", "InferenceService"}


def test_containers_of_every_kind_are_looked_at() -> None:
    kinds = {item["kind"] for _, item in ALL if any(containers(item))}
    assert kinds == {"Deployment", "StatefulSet", "Job", "ServingRuntime", "InferenceService"}


@pytest.mark.parametrize(("kind", "container"), CONTAINERS)
def test_a_container_is_confined(kind: str, container: dict[str, Any]) -> None:
    security = container["securityContext"]

    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert security["runAsNonRoot"] is True
    assert type(security["runAsUser"]) is int
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize(("kind", "container"), CONTAINERS)
def test_a_container_has_requests_and_limits(kind: str, container: dict[str, Any]) -> None:
    for sort in ("requests", "limits"):
        assert {"cpu", "memory"} <= container["resources"][sort].keys()


@pytest.mark.parametrize(("kind", "container"), CONTAINERS)
def test_a_server_has_probes(kind: str, container: dict[str, Any]) -> None:
    if kind in SERVERS and container.get("name") != "migrate":
        assert {"livenessProbe", "readinessProbe"} <= container.keys()


@pytest.mark.parametrize(("kind", "container"), CONTAINERS)
def test_an_image_has_a_tag_that_stays(kind: str, container: dict[str, Any]) -> None:
    if kind != "InferenceService":  # its runtime has the image
        tag = re.fullmatch(r"[a-z0-9./-]+:([A-Za-z0-9][\w.-]*)", container["image"])
        assert tag, container["image"]
        assert tag[1] not in {"latest", "placeholder", "main"}


@pytest.mark.parametrize(
    ("folder", "item"), [pytest.param(*pair, id=f"{pair[0]}:{pair[1]['kind']}") for pair in ALL if any(pod_specs(pair[1]))]
)
def test_a_pod_reads_no_token_of_the_cluster(folder: str, item: dict[str, Any]) -> None:
    for spec in pod_specs(item):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        if item["kind"] != "ServingRuntime":  # the InferenceService says it
            assert spec["automountServiceAccountToken"] is False


def test_every_graph_has_resources() -> None:
    graphs = [item for _, item in ALL if item["kind"] == "InferenceGraph"]

    assert graphs
    assert all({"requests", "limits"} <= graph["spec"]["resources"].keys() for graph in graphs)

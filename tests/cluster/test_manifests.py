"""Every folder of manifests/, applied to a real API server with every CRD that it speaks of."""

from typing import Any

import pytest
from support.api_server import ApiServer
from support.manifests import in_namespace, kustomizations, objects

Document = dict[str, Any]


def content(items: list[Document]) -> list[Document]:
    """Objects without what the server counts and remembers of who wrote what."""
    counted = {"managedFields", "resourceVersion"}
    return [
        item | {"metadata": {key: value for key, value in item["metadata"].items() if key not in counted}} for item in items
    ]


@pytest.mark.parametrize("folder", kustomizations())
def test_applied_again_nothing_changes_whoever_applies(api: ApiServer, folder: str) -> None:
    """Twice by the same manager: not even written. By another one: no conflict, and nothing that a reader would see."""
    namespace = api.namespace()
    items = in_namespace(objects(folder), namespace)

    first = api.apply(items)
    again = api.apply(items)
    other = api.apply(items, "another-manager")

    assert len(first) == len(items)
    if folder != "gitops/flux":  # Flux's CRDs have a default for the status, which the API server then writes once more
        assert [item["metadata"]["resourceVersion"] for item in again] == [
            item["metadata"]["resourceVersion"] for item in first
        ]
    assert content(again) == content(first)
    assert content(other) == content(first)


def test_what_deploying_applied_another_manager_may_apply(api: ApiServer) -> None:
    """A GitOps controller takes over what `deploy_model` made, and `deploy_model` what a controller made."""
    namespace = api.namespace()
    items = in_namespace(objects("inference/base"), namespace)

    first = api.apply(items, "stagewright")
    other = api.apply(items, "argocd-controller")

    assert content(other) == content(first)
    assert other[0]["metadata"]["generation"] == 1


def test_kserves_own_storage_container_keeps_its_image(api: ApiServer) -> None:
    """Ours has the name of the one that KServe brings, and adds to it where another manager applied that."""
    (ours,) = (item for item in objects("base/namespace") if item["kind"] == "ClusterStorageContainer")
    path = "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers/default"
    theirs = {
        **ours,
        "metadata": {"name": "default"},
        "spec": {
            **ours["spec"],
            "container": {
                "name": "storage-initializer",
                "image": "kserve/storage-initializer:v0.20.0",
                "resources": {"limits": {"cpu": "1"}},
            },
        },
    }
    api.apply([theirs], "helm", force=True)

    api.apply([ours])

    container = api.ask("GET", path)["spec"]["container"]
    assert container["image"] == "kserve/storage-initializer:v0.20.0"
    assert container["resources"] == {"limits": {"cpu": "1"}}
    assert container["securityContext"] == ours["spec"]["container"]["securityContext"]

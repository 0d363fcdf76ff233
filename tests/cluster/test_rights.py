"""What each service account of the manifests may do: what it must, and nothing else that the API server knows."""

from typing import Any

import pytest
from support.api_server import ApiServer
from support.manifests import in_namespace, objects

Document = dict[str, Any]
Right = tuple[str, str, str, str]  # group, resource with subresource, verb, name

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# Everybody who is signed in may ask about himself.
OF_EVERYBODY = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}

RUNNER: set[Right] = {
    *{("serving.kserve.io", "inferenceservices", verb, "") for verb in ("get", "create", "patch", "delete")},
    *{("pipelines.kubeflow.org", kind, verb, "") for kind in ("runs", "experiments") for verb in ("get", "list", "create")},
    *{
        ("pipelines.kubeflow.org", kind, verb, "")
        for kind in ("pipelines", "pipelineversions", "pipelines/versions")
        for verb in ("get", "list")
    },
    *{("argoproj.io", "workflowtaskresults", verb, "") for verb in ("create", "patch")},
    ("", "pods", "get", ""),
    ("", "pods", "list", ""),
    ("", "events", "list", ""),
    ("", "configmaps", "get", "kfp-launcher"),
    ("", "secrets", "get", "stagewright-artifacts"),
}
ACCOUNTS: dict[str, set[Right]] = {
    "stagewright-runner": RUNNER,
    "pipeline-runner": RUNNER,
    "stagewright-predictor": set(),
    "minio": set(),
    "mlflow": set(),
    "default": set(),
}


@pytest.fixture(scope="module")
def installed(api: ApiServer) -> str:
    """A namespace with the overlay of a laptop and the monitoring beside it."""
    namespace = api.namespace()
    for folder in ("overlays/kind", "base/serving/monitor", "base/monitoring"):
        api.apply(in_namespace(objects(folder), namespace))
    return namespace


@pytest.fixture(scope="module")
def resources(api: ApiServer) -> list[tuple[str, str]]:
    """Every resource and subresource of the API server, with its group; and those that our Role names without a CRD."""
    groups = api.ask("GET", "/apis")["groups"]
    places = [(group["name"], f"/apis/{group['preferredVersion']['groupVersion']}") for group in groups]
    places.append(("", "/api/v1"))
    found = {(group, item["name"]) for group, path in places for item in api.ask("GET", path)["resources"]}
    found |= {(group, resource) for group, resource, _, _ in RUNNER}
    return sorted((group, resource) for group, resource in found if resource not in OF_EVERYBODY)


def allowed(api: ApiServer, user: str, namespace: str, right: Right) -> bool:
    """The answer to the account's own question."""
    group, resource, verb, name = right
    kind, _, below = resource.partition("/")
    attributes = {"group": group, "resource": kind, "subresource": below, "verb": verb, "name": name, "namespace": namespace}
    review = {"spec": {"resourceAttributes": attributes}}
    answer = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, user=user)
    return bool(answer["status"]["allowed"])


def user(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def test_every_account_stands_in_the_table() -> None:
    found = {
        item["metadata"]["name"]
        for folder in ("overlays/kind", "overlays/production", "overlays/gpu", "base/serving/monitor", "base/monitoring")
        for item in objects(folder)
        if item["kind"] == "ServiceAccount"
    }

    assert found | {"default"} == set(ACCOUNTS)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_it_must_and_nothing_else(
    api: ApiServer, installed: str, resources: list[tuple[str, str]], account: str
) -> None:
    asked = [(group, resource, verb, "") for group, resource in resources for verb in VERBS]
    asked += [
        (group, resource, verb, name)
        for group, resource, name in (("", "configmaps", "kfp-launcher"), ("", "secrets", "stagewright-artifacts"))
        for verb in VERBS
    ]

    given = {right for right in asked if allowed(api, user(installed, account), installed, right)}

    assert given == ACCOUNTS[account]


@pytest.mark.parametrize("account", ["stagewright-runner", "pipeline-runner"])
def test_the_rights_end_with_the_namespace(api: ApiServer, installed: str, account: str) -> None:
    elsewhere = api.namespace()

    given = [right for right in RUNNER for place in (elsewhere, "") if allowed(api, user(installed, account), place, right)]

    assert given == []

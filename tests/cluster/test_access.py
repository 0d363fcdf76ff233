"""The first step of a run asks a real API server for the rights of the last one."""

import pytest
from support.api_server import ApiServer
from support.manifests import in_namespace, objects

from stagewright.components.runtime.access import check_access, check_deploying
from stagewright.components.runtime.errors import InputError, ServiceUnavailable


@pytest.mark.parametrize("account", ["stagewright-runner", "pipeline-runner"])
def test_both_accounts_of_the_manifests_may_deploy(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    api.apply(in_namespace(objects("base/pipelines"), namespace))
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, api.account_token(namespace, account))))

    check_deploying(namespace)


def test_a_namespace_without_rights_is_told_with_what_to_do(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.apply(in_namespace(objects("base/pipelines"), namespace))
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, api.account_token(namespace, "stagewright-runner"))))

    with pytest.raises(ServiceUnavailable) as told:
        check_deploying("default")
    assert str(told.value) == (
        "deploy_to=cluster: the account of this run may not get, create, patch, delete inferenceservices.serving.kserve.io in "
        "namespace 'default'; bind the Role of manifests/base/pipelines to it there, or name another namespace"
    )


def test_a_cluster_without_kserve_is_told(bare_api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(bare_api.kubeconfig()))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ServiceUnavailable, match=r"^deploy_to=cluster: .* has no serving.kserve.io InferenceService: install"):
        check_deploying("default")


def test_expired_credentials_are_told(api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, "an-old-token")))

    with pytest.raises(ServiceUnavailable, match=r"it does not accept the credentials: sign in again$"):
        check_deploying(namespace)


def test_an_empty_namespace_is_the_contexts(
    api: ApiServer, namespace: str, object_store: str, tracking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del object_store, tracking
    api.apply(in_namespace(objects("base/pipelines"), namespace))
    token = api.account_token(namespace, "stagewright-runner")
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, token)))
    check_access("cluster")

    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig("", token)))
    with pytest.raises(ServiceUnavailable, match="in namespace 'default'"):
        check_access("cluster")


def test_no_cluster_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(InputError, match=r"^no cluster to deploy to: .*; set KUBECONFIG or run inside the cluster$"):
        check_deploying("default")

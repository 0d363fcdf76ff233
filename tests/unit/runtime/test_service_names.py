"""Names of which KServe can make a service, checked in the first step of a run and wherever a service is written."""

import pytest

from stagewright.components.runtime.access import check_access
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.service_names import check_host, check_namespace, check_service
from stagewright.components.serving.manifests.canary import splitter


@pytest.mark.parametrize(
    ("name", "namespace", "mode"),
    [
        ("m" * 40, "n" * 12, "Standard"), ("m" * 53, "", "Standard"), ("m" * 52, "", "Standard"), ("m", "n" * 51, "Standard"),
        ("m" * 47, "n" * 63, "Knative"),
    ],
)  # fmt: skip
def test_the_longest_names_are_taken(name: str, namespace: str, mode: str) -> None:
    check_service(name, namespace, mode)


@pytest.mark.parametrize(
    ("name", "namespace", "mode", "sentence"),
    [
        ("m" * 40, "n" * 13, "Standard", "a name or a namespace shorter by 1: KServe makes the host m"),
        ("m" * 54, "", "Standard", "at most 53 characters for KServe in Standard mode"),
        ("m" * 48, "", "Knative", "at most 47 characters for KServe in Knative mode"),
        ("churn", "a" * 64, "Standard", "lower-case letters, digits and '-', at most 63 characters"),
        ("Churn", "default", "Standard", "lower-case letters, digits and '-', beginning with a letter"),
        ("churn", "default", "Serverless", "one of Standard, Knative"),
    ],
)
def test_others_are_refused(name: str, namespace: str, mode: str, sentence: str) -> None:
    with pytest.raises(BadParameter) as refused:
        check_service(name, namespace, mode)
    assert f"expected {sentence}" in str(refused.value)


@pytest.mark.parametrize("deploy_to", ["cluster", "gitops"])
def test_the_first_step_of_a_run_refuses_them(deploy_to: str) -> None:
    with pytest.raises(BadParameter, match="a name or a namespace shorter by 18"):
        check_access(deploy_to, "n" * 30, name="m" * 40)


def test_a_graphs_host_is_checked_too() -> None:
    weights = {"a": 50, "b": 50}
    assert splitter("g" * 30, weights, namespace="n" * 32)["metadata"]["namespace"] == "n" * 32
    with pytest.raises(BadParameter, match="shorter by 1: KServe makes the host"):
        splitter("g" * 30, weights, namespace="n" * 33)


def test_what_is_at_the_boundary() -> None:
    check_host("s" * 31, "n" * 31, name="s")
    check_namespace("n" * 63)

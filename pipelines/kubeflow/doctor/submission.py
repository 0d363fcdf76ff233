"""Checks before a run is submitted: about a dozen quick requests to the kubeconfig's cluster.

Only certain failures stop the submission. Objects that cannot be read, or a cluster that may not be Kubeflow's, do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.doctor.cluster import Cluster
from stagewright.pipelines.kubeflow.doctor.finding import MISSING, Finding
from stagewright.pipelines.kubeflow.doctor.needs import DEPLOYING, REPORTING, mounted
from stagewright.pipelines.kubeflow.kubernetes_api import KubernetesApi, Refused
from stagewright.pipelines.kubeflow.run_pods import OUR_NAMESPACE

API_SERVICE = "ml-pipeline"
DEPLOYS = "exec-deploy-model"
# Kubeflow's default service accounts: single-user and multi-user.
_DEFAULT_ACCOUNT, _DEFAULT_ACCOUNT_OF_USERS = "pipeline-runner", "default-editor"


def check_submission(
    kubeflow: Kubeflow, documents: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], account: str | None
) -> str | None:
    """Check that the cluster has everything that a compiled pipeline needs.

    Args:
        kubeflow: Installation for the run.
        documents: Pipeline spec and platform spec.
        arguments: Parameters by name.
        account: Service account of the steps; None for the installation's default.

    Returns:
        One sentence if the cluster could not be checked; None if it was.

    Raises:
        InputError: If anything is missing; the message lists all of it.
    """
    try:
        api = KubernetesApi.connect(kubeflow.connection.kube_context)
        namespace = _namespace_of_runs(api, kubeflow)
    except (InputError, ServiceUnavailable) as error:
        return f"submitted without checking the cluster: {error}"
    if namespace is None:
        return (
            f"submitted without checking the cluster: the Kubernetes API at {api.host} has no Kubeflow Pipelines; "
            "select its context to check Secrets, service accounts and permissions"
        )
    try:
        lacking = [one for one in _findings(api, namespace, kubeflow, documents, arguments, account) if one.state == MISSING]
    except ServiceUnavailable as error:
        return f"submitted without checking the cluster: {error}"
    if lacking:
        raise InputError(_sentence(lacking, api.host))
    return None


def _sentence(lacking: Sequence[Finding], host: str) -> str:
    found = " and ".join(f"{one.what} {one.says}" for one in lacking)
    advice = "; ".join(dict.fromkeys(one.advice for one in lacking))
    return f"the run would fail on the cluster at {host}: {found}; {advice}; use --no-checks to submit anyway"


def _namespace_of_runs(api: KubernetesApi, kubeflow: Kubeflow) -> str | None:
    """Namespace of the run's pods; None if Kubeflow is not found on this cluster.

    In a single-user installation, runs are in the namespace of Kubeflow's API.
    """
    if kubeflow.namespace:
        return kubeflow.namespace if _is_there(api, f"/api/v1/namespaces/{kubeflow.namespace}") else None
    installation = kubeflow.connection.installation
    for namespace in dict.fromkeys(filter(None, (installation, api.namespace, OUR_NAMESPACE))):
        if _is_there(api, f"/api/v1/namespaces/{namespace}/services/{API_SERVICE}"):
            return namespace
    return None


def _is_there(api: KubernetesApi, path: str) -> bool:
    try:
        api.get(path)
    except Refused:
        return False
    return True


def _findings(
    api: KubernetesApi, namespace: str, kubeflow: Kubeflow, documents: Sequence[Mapping[str, Any]],
    arguments: Mapping[str, Any], account: str | None,
) -> Iterator[Finding]:  # fmt: skip
    needs, cluster = mounted(documents), Cluster(api, namespace)
    yield from cluster.mounted(needs)
    default = _DEFAULT_ACCOUNT_OF_USERS if kubeflow.namespace else _DEFAULT_ACCOUNT
    # An installation may have another default account, so a missing default account is not an error.
    known = account or (default if _is_there(api, f"/api/v1/namespaces/{namespace}/serviceaccounts/{default}") else None)
    if known:
        yield from cluster.account(known, REPORTING)
    target = _deploys_to(documents, arguments)
    if target is not None:
        there = Cluster(api, target or namespace)
        if known:
            yield from there.rights(known, DEPLOYING, home=namespace)
        yield from there.kserve()


def _deploys_to(documents: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> str | None:
    """Namespace of the deployed model, empty for the run's namespace; None if no model is deployed."""
    spec = documents[0]
    if DEPLOYS not in spec["deploymentSpec"]["executors"]:
        return None
    declared = (spec["root"].get("inputDefinitions") or {}).get("parameters") or {}
    given = {name: one.get("defaultValue") for name, one in declared.items()} | dict(arguments)
    return str(given.get("namespace") or "") if given.get("deploy_to") == "cluster" else None

"""What a run is sure to fail for, looked at before it is submitted: a dozen quick questions to the cluster of the kubeconfig.

Only what is certain counts. What may not be looked at, and a cluster that may be another one than Kubeflow's, refuse nothing.
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
# Whom Kubeflow runs steps as if nobody is named, without and with a namespace for each user.
_DEFAULT_ACCOUNT, _DEFAULT_ACCOUNT_OF_USERS = "pipeline-runner", "default-editor"


def check_submission(
    kubeflow: Kubeflow, documents: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], account: str | None
) -> str | None:
    """See that the cluster has what a compiled pipeline needs.

    Args:
        kubeflow: Where it is to run.
        documents: Its pipeline spec and its platform spec.
        arguments: Its parameters by name.
        account: Whom the steps run as; None for the installation's default.

    Returns:
        Why nothing could be looked at, in one sentence; None if it was.

    Raises:
        InputError: Naming everything that is missing, in one sentence.
    """
    try:
        api = KubernetesApi.connect(kubeflow.connection.kube_context)
        namespace = _namespace_of_runs(api, kubeflow)
    except (InputError, ServiceUnavailable) as error:
        return f"submitted without a look at the cluster: {error}"
    if namespace is None:
        return (
            f"submitted without a look at the cluster: the Kubernetes API at {api.host} shows no Kubeflow Pipelines; "
            "choose its context to have Secrets, accounts and rights checked"
        )
    try:
        lacking = [one for one in _findings(api, namespace, kubeflow, documents, arguments, account) if one.state == MISSING]
    except ServiceUnavailable as error:
        return f"submitted without a look at the cluster: {error}"
    if lacking:
        raise InputError(_sentence(lacking, api.host))
    return None


def _sentence(lacking: Sequence[Finding], host: str) -> str:
    found = " and ".join(f"{one.what} {one.says}" for one in lacking)
    advice = "; ".join(dict.fromkeys(one.advice for one in lacking))
    return f"the run would fail on the cluster at {host}: {found}; {advice}; --no-checks submits it all the same"


def _namespace_of_runs(api: KubernetesApi, kubeflow: Kubeflow) -> str | None:
    """Where the pods of a run will be; None if this cluster does not show that Kubeflow is there.

    Without namespaces of users, runs are where Kubeflow's own API is.
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
    # An installation may have another default account; one that was not named and is not there proves nothing.
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
    """The namespace that a model is deployed to, empty for that of the run; None if none is."""
    spec = documents[0]
    if DEPLOYS not in spec["deploymentSpec"]["executors"]:
        return None
    declared = (spec["root"].get("inputDefinitions") or {}).get("parameters") or {}
    given = {name: one.get("defaultValue") for name, one in declared.items()} | dict(arguments)
    return str(given.get("namespace") or "") if given.get("deploy_to") == "cluster" else None

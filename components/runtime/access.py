"""What a run will need at its end, asked at its beginning: rights in the cluster, a bucket to write to, MLflow.

A missing right that only the last step finds costs the whole training.
"""

from typing import Any

from stagewright.components.runtime import cluster, logs, tracking
from stagewright.components.runtime.errors import ServiceUnavailable
from stagewright.components.runtime.service_names import check_service
from stagewright.components.runtime.storage import SCHEME, ObjectStore

GROUP, RESOURCE = "serving.kserve.io", "inferenceservices"
VERBS = ("get", "create", "patch", "delete")
_PROBE = ".write-check"
_SHOWN = 300


def check_access(deploy_to: str, namespace: str = "", *, name: str = "", mode: str = "Standard") -> None:
    """Refuse to begin what could not be finished.

    Args:
        deploy_to: Where the run will serve its model: local, cluster, gitops or none; empty if nothing is to be checked,
            because the run makes no model that is published.
        namespace: Of the service, for cluster; empty for the one that the step runs in.
        name: Of the service; empty if it is not known yet.
        mode: KServe's deployment mode: Standard or Knative.

    Raises:
        BadParameter: If KServe could make no service of the name in the namespace.
        InputError: If a bucket cannot be written to, or there is no cluster.
        ServiceUnavailable: If a service does not answer, or the account of the run may not deploy.
    """
    if not deploy_to:
        return
    if name and deploy_to in ("cluster", "gitops"):
        check_service(name, namespace or (cluster.own_namespace() if deploy_to == "cluster" else ""), mode)
    store = ObjectStore.from_environment("the object store receives the model that the run publishes")
    check_bucket(store, store.settings.models_bucket)
    tracking.check("MLflow registers the model of the run")
    if deploy_to == "cluster":
        check_deploying(namespace or cluster.own_namespace())
    logs.event("access_checked", deploy_to=deploy_to)


def check_bucket(store: ObjectStore, bucket: str) -> None:
    """Write an object and remove it again. Publishing needs no right to delete, so an object that cannot be removed stays.

    Raises:
        InputError, ServiceUnavailable: As the object store.
    """
    probe = f"{SCHEME}{bucket}/{_PROBE}"
    store.ensure_bucket(bucket)
    store.write(probe, b"")
    store.delete_if_allowed(probe)


def check_deploying(namespace: str) -> None:
    """Ask the cluster whether this account may deploy to a namespace, and whether KServe is there.

    Raises:
        InputError: If there is no cluster.
        ServiceUnavailable: If it does not answer, has no KServe, or says no.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    api = cluster.connect()
    host = api.configuration.host
    try:
        denied = [verb for verb in VERBS if not _allowed(api, namespace, verb)]
        served = _serves(api)
    except ApiException as error:
        reason = "it does not accept the credentials: sign in again" if error.status == 401 else f"it answered {error.status}"
        raise ServiceUnavailable(f"deploy_to=cluster: the cluster at {host} cannot be asked: {reason}") from error
    except HTTPError as error:
        reason = str(getattr(error, "reason", None) or error).split(">: ", 1)[-1][:_SHOWN]
        raise ServiceUnavailable(f"deploy_to=cluster: the cluster at {host} does not answer: {reason}") from error
    if not served:
        raise ServiceUnavailable(f"deploy_to=cluster: the cluster at {host} has no {GROUP} InferenceService: install KServe")
    if denied:
        raise ServiceUnavailable(
            f"deploy_to=cluster: the account of this run may not {', '.join(denied)} {RESOURCE}.{GROUP} in namespace "
            f"'{namespace}'; bind the Role of manifests/base/pipelines to it there, or name another namespace"
        )


def _allowed(api: Any, namespace: str, verb: str) -> bool:
    attributes = {"group": GROUP, "resource": RESOURCE, "verb": verb, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = cluster.request(api, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(answer["status"]["allowed"])


def _serves(api: Any) -> bool:
    from kubernetes.client import ApiException

    try:
        cluster.request(api, "GET", f"/apis/{GROUP}/v1beta1")
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return True

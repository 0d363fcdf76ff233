"""Check Kubeflow Pipelines, the object store and MLflow with the locally configured credentials."""

import json
import os
from urllib.parse import urlsplit

import kfp_server_api
import urllib3

from stagewright.components.runtime import settings
from stagewright.components.runtime.errors import MissingSetting, StagewrightError
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import reach
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.doctor.cluster import Cluster
from stagewright.pipelines.kubeflow.doctor.finding import Finding, missing, ok, unknown

_PATIENCE = 5.0
_STORE = "set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (docs/cluster.md, section 5)"
_TRACKING = "set MLFLOW_TRACKING_URI, after kubectl port-forward svc/mlflow 5000"


def kubeflow(connection: Connection, namespace: str | None) -> Finding:
    """Check that the API responds, and report its version."""
    what = "Kubeflow Pipelines"
    try:
        client = reach(connection, namespace)
        with connections.explained(client.connection):
            health = json.loads(b"".join(client.stream("/apis/v2beta1/healthz")))
    except StagewrightError as error:
        return missing(what, str(error), "install it, or set its address (docs/cluster.md, sections 1 and 5)")
    except (kfp_server_api.ApiException, ValueError):
        health = {}
    version = health.get("tag_name") or health.get("apiServerTagName") or "of an unknown version"
    return ok(what, f"{version} at {connections.where(client.connection)}")


def bucket(cluster: Cluster | None) -> Finding:
    """Check that the object store has the models bucket, with this environment's credentials."""
    try:
        found = settings.load_settings(settings.StorageSettings, "the object store is checked")
    except MissingSetting:
        return _behind(cluster, "object store", "AWS_ENDPOINT_URL", _STORE)
    what = f"bucket {found.models_bucket} of {found.endpoint}"
    try:
        ObjectStore(found, patience=_PATIENCE).children(f"s3://{found.models_bucket}/")
    except StagewrightError as error:
        return missing(what, str(error), "check the set-up Job: kubectl logs job/minio-setup (docs/cluster.md, section 4)")
    return ok(what)


def mlflow(cluster: Cluster | None) -> Finding:
    """Check that MLflow responds."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith(("http://", "https://")):
        return _behind(cluster, "MLflow", "MLFLOW_TRACKING_URI", _TRACKING)
    what = f"MLflow at {address}"
    try:
        answer = urllib3.PoolManager(retries=False, timeout=_PATIENCE).request("GET", f"{address.rstrip('/')}/health")
    except urllib3.exceptions.HTTPError as error:
        return missing(what, f"does not respond ({type(error).__name__})", "kubectl rollout status deployment/mlflow")
    if answer.status != 200:
        return missing(what, f"returns status {answer.status} for /health", "kubectl logs deployment/mlflow")
    return ok(what)


def _behind(cluster: Cluster | None, what: str, variable: str, advice: str) -> Finding:
    """Check a service that is not configured here by the readiness of its pods."""
    host = urlsplit(cluster.address_of(variable)).hostname if cluster else None
    if cluster is None or not host:
        return unknown(what, f"{variable} is not set", advice)
    name, _, namespace = host.removesuffix(".svc.cluster.local").removesuffix(".svc").partition(".")
    if "." in namespace or (namespace and namespace != cluster.namespace):
        return unknown(what, f"is at {host}, but {variable} is not set", advice)
    return cluster.service(name)

"""The KServe InferenceService of a published model: one function for deployment, rendering and tests.

All of KServe's defaults are set explicitly: the deployment mode (it cannot change later), the runtime and the protocol (if
unset, KServe selects a server that no longer exists), the autoscaler, and probes of the model rather than of the process.
"""

import re
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter, one_of
from stagewright.components.runtime.naming import Version
from stagewright.components.runtime.service_names import check_service
from stagewright.components.serving import variants
from stagewright.components.serving.manifests.serving_runtime import (
    GPU,
    MLFLOW_RUNTIME,
    PORT,
    SERVICE_ACCOUNT,
    container_security,
)

API_VERSION, KIND, PLURAL = "serving.kserve.io/v1beta1", "InferenceService", "inferenceservices"
MODES = ("Standard", "Knative")
VERSION_ANNOTATION, DIGEST_ANNOTATION = "stagewright/version", "stagewright/digest"

Document = dict[str, Any]
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?|Ki)?")


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits of one replica, as Kubernetes quantities."""

    cpu_request: str = "250m"
    cpu_limit: str = "1"
    memory_request: str = "256Mi"
    memory_limit: str = "512Mi"

    def to_dict(self) -> Document:
        """As in a container.

        Raises:
            BadParameter: If a value is not a quantity.
        """
        for name in ("cpu_request", "cpu_limit", "memory_request", "memory_limit"):
            value = getattr(self, name)
            if not _QUANTITY.fullmatch(value):
                raise BadParameter(name, got=value, expected="a Kubernetes quantity such as '500m' or '512Mi'")
        return {
            "limits": {"cpu": self.cpu_limit, "memory": self.memory_limit},
            "requests": {"cpu": self.cpu_request, "memory": self.memory_request},
        }


@dataclass(frozen=True, slots=True)
class Replicas:
    """Number of replicas; Knative may scale to 0 while there are no requests."""

    minimum: int = 1
    maximum: int = 1


RESOURCES, REPLICAS = Resources(), Replicas()
# Default for a GPU replica: CUDA alone needs more memory than a small model on a CPU. Requests equal limits, so that under node
# pressure it is evicted last.
GPU_RESOURCES = Resources("2", "2", "4Gi", "4Gi")
# For a model that runs in its own library: Python, pandas and that library next to the server.
WORKER_RESOURCES = Resources("500m", "2", "1Gi", "2Gi")


def inference_service(
    *,
    name: str,
    version: str,
    model_uri: str,
    digest: str = "",
    variant: str = "cpu",
    mode: str = "Standard",
    namespace: str = "default",
    resources: Resources = RESOURCES,
    replicas: Replicas = REPLICAS,
    traffic: int = 100,
    service_account: str = SERVICE_ACCOUNT,
    worker: bool = False,
) -> Document:
    """The InferenceService that serves a version of a model.

    Args:
        name: Name of the model and of the service.
        version: `vMAJOR.MINOR.PATCH`.
        model_uri: URI of the published model, `s3://...`.
        digest: Digest of its content, from the manifest.
        variant: Serving variant: cpu, cpu-int8, gpu, gpu-fp16 or gpu-triton.
        mode: Standard (Deployment, Service, autoscaler) or Knative (revisions, scale to zero).
        traffic: Percentage of the requests; less than 100 is a canary, which only Knative mode supports.
        service_account: ServiceAccount whose Secret holds the credentials of the object store.
        worker: Whether the model has no graph and runs in its own library (`serving/worker.json`).

    Raises:
        BadParameter: Naming the invalid parameter.
    """
    chosen = variants.find(variant)
    if worker and variant != "cpu":
        raise BadParameter("variant", got=variant, expected="cpu for a model without a graph, which its own library computes")
    if worker:
        chosen, resources = variants.Variant(MLFLOW_RUNTIME), WORKER_RESOURCES if resources == RESOURCES else resources
    one_of("mode", mode, MODES)
    check_service(name, namespace, mode)
    check_replicas(replicas, mode)
    Version.parse(version)
    if not model_uri.startswith("s3://"):
        raise BadParameter(
            "model_uri", got=model_uri, expected="the s3:// URI of a published model, which the cluster can read"
        )
    predictor: Document = {
        **_canary(traffic, mode),
        "automountServiceAccountToken": False,  # the model server never calls the Kubernetes API
        "maxReplicas": replicas.maximum,
        "minReplicas": replicas.minimum,
        "model": _model(name, variants.storage(model_uri, variant), chosen, resources),
        **({} if mode == "Knative" else {"deploymentStrategy": _no_gap()}),
        **_scaling(replicas, mode),
        **_gpu_nodes(chosen),
        "serviceAccountName": service_account,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": _annotations(version, digest, mode, replicas),
            "labels": labels(name, version, variant),
        },
        "spec": {"predictor": dict(sorted(predictor.items()))},
    }


def labels(name: str, version: str, variant: str) -> dict[str, str]:
    """Labels that identify a service and its pods."""
    return {
        "app.kubernetes.io/component": "predictor",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "stagewright",
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "stagewright",
        "app.kubernetes.io/version": version,
        "stagewright/variant": variant,
    }


def _annotations(version: str, digest: str, mode: str, replicas: Replicas) -> dict[str, str]:
    annotations = {"serving.kserve.io/deploymentMode": mode, VERSION_ANNOTATION: version}
    if digest:
        annotations[DIGEST_ANNOTATION] = digest
    if mode == "Standard":
        annotations["serving.kserve.io/autoscalerClass"] = "hpa" if replicas.maximum > replicas.minimum else "none"
    else:
        annotations["autoscaling.knative.dev/class"] = "kpa.autoscaling.knative.dev"
    return dict(sorted(annotations.items()))


def _model(name: str, location: str, variant: variants.Variant, resources: Resources) -> Document:
    ready = {"httpGet": {"path": f"/v2/models/{name}/ready", "port": PORT}}
    live = {"httpGet": {"path": "/v2/health/live", "port": PORT}}
    return {
        "livenessProbe": {**live, "failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 5},
        "modelFormat": {"name": "mlflow" if variant.runtime == MLFLOW_RUNTIME else "onnx"},
        "protocolVersion": "v2",
        "readinessProbe": {**ready, "failureThreshold": 3, "periodSeconds": 5, "timeoutSeconds": 2},
        "resources": _resources(variant, resources),
        "runtime": variant.runtime,
        "securityContext": container_security(),
        # Two minutes to load; the other probes start after that.
        "startupProbe": {**ready, "failureThreshold": 60, "periodSeconds": 2, "timeoutSeconds": 2},
        "storageUri": location.rstrip("/"),
    }


def _resources(variant: variants.Variant, resources: Resources) -> Document:
    if not variant.gpus:
        return resources.to_dict()
    found = (GPU_RESOURCES if resources == RESOURCES else resources).to_dict()
    return {kind: {**quantities, GPU: str(variant.gpus)} for kind, quantities in found.items()}


def _gpu_nodes(variant: variants.Variant) -> Document:
    """GPU nodes usually have a taint that keeps other pods off them."""
    return {"tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]} if variant.gpus else {}


def _scaling(replicas: Replicas, mode: str) -> Document:
    if mode == "Knative":
        return {"scaleMetric": "concurrency", "scaleTarget": 16}
    return {"scaleMetric": "cpu", "scaleTarget": 80} if replicas.maximum > replicas.minimum else {}


def _no_gap() -> Document:
    """Replace replicas one by one, so that a version that never becomes ready does not reduce capacity."""
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _canary(traffic: int, mode: str) -> Document:
    if not 1 <= traffic <= 100:
        raise BadParameter("traffic", got=traffic, expected="a percentage from 1 to 100")
    if traffic == 100:
        return {}
    if mode != "Knative":
        raise BadParameter("traffic", got=traffic, expected="100 in Standard mode, where KServe ignores a canary's share")
    return {"canaryTrafficPercent": traffic}


def check_replicas(replicas: Replicas, mode: str) -> None:
    """Refuse replica counts that KServe would ignore.

    Raises:
        BadParameter: Naming the parameter.
    """
    lowest = 0 if mode == "Knative" else 1
    if replicas.minimum < lowest:
        raise BadParameter("min_replicas", got=replicas.minimum, expected=f"at least {lowest} in {mode} mode")
    if replicas.maximum < max(replicas.minimum, 1):
        raise BadParameter("max_replicas", got=replicas.maximum, expected=f"at least {max(replicas.minimum, 1)}")

"""What a namespace needs once, before InferenceServices of ours can run in it: the runtime and the way to the object store."""

from typing import Any
from urllib.parse import urlsplit

from stagewright.components.images import image

RUNTIME = "stagewright-predictor"
SERVICE_ACCOUNT = "stagewright-predictor"
STORAGE_SECRET = "stagewright-storage"  # noqa: S105  a name, not a secret
CONTAINER = "kserve-container"  # the name by which KServe knows the model server among a pod's containers
MODELS_FOLDER = "/mnt/models"  # where KServe's storage initializer puts the model
PORT = 8080
USER = 65532

Document = dict[str, Any]


def container_security() -> Document:
    """The security context of every container of ours: what the restricted pod security standard asks, and no writable root."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def serving_runtime(*, namespace: str = "default", registry: str = "", tag: str = "") -> Document:
    """The ServingRuntime that runs our predictor's image for models of the format `onnx`."""
    container = {
        "name": CONTAINER,
        "image": image("predictor", registry=registry, tag=tag),
        # KServe fills in the InferenceService's name, under which the model answers.
        "args": ["--model", MODELS_FOLDER, "--name", "{{.Name}}", "--port", str(PORT)],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}],  # noqa: S108  the container's own
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": RUNTIME, "namespace": namespace, "labels": _labels()},
        "spec": {
            "annotations": {"prometheus.kserve.io/path": "/metrics", "prometheus.kserve.io/port": str(PORT)},
            "containers": [container],
            "multiModel": False,
            "protocolVersions": ["v1", "v2"],
            "supportedModelFormats": [{"autoSelect": True, "name": "onnx", "priority": 1}],
            "volumes": [{"emptyDir": {"sizeLimit": "64Mi"}, "name": "scratch"}],
        },
    }


def storage_access(*, endpoint: str, region: str = "us-east-1", namespace: str = "default") -> list[Document]:
    """The Secret and the ServiceAccount through which KServe's storage initializer reads the object store.

    The Secret has no values: the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are put into it in the cluster, by a
    command or by External Secrets, so that they never stand in a file.

    Args:
        endpoint: The store's URL as pods see it, with its scheme.
    """
    url = urlsplit(endpoint)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": STORAGE_SECRET,
            "namespace": namespace,
            "annotations": {
                "serving.kserve.io/s3-endpoint": url.netloc,
                "serving.kserve.io/s3-region": region,
                "serving.kserve.io/s3-usehttps": "1" if url.scheme == "https" else "0",
                "serving.kserve.io/s3-usevirtualbucket": "false",
                "serving.kserve.io/s3-verifyssl": "1" if url.scheme == "https" else "0",
            },
            "labels": _labels(),
        },
        "type": "Opaque",
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace, "labels": _labels()},
        "automountServiceAccountToken": False,
        "secrets": [{"name": STORAGE_SECRET}],
    }
    return [secret, account]


def _labels() -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "stagewright",
        "app.kubernetes.io/name": RUNTIME,
        "app.kubernetes.io/part-of": "stagewright",
    }

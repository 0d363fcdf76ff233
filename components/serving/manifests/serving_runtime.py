"""One-time setup of a namespace for our InferenceServices: ServingRuntimes and access to the object store."""

from typing import Any
from urllib.parse import urlsplit

from stagewright.components.images import image
from stagewright.components.serving.variants import GPU_RUNTIME, RUNTIME, TRITON_RUNTIME

MLFLOW_RUNTIME = "stagewright-predictor-mlflow"
SERVICE_ACCOUNT = "stagewright-predictor"
STORAGE_SECRET = "stagewright-predictor-storage"  # noqa: S105  a name, not a secret
CONTAINER = "kserve-container"  # KServe's name of the model server among a pod's containers
MODELS_FOLDER = "/mnt/models"  # target folder of KServe's storage initializer
PORT, TRITON_METRICS_PORT, TRITON_GRPC_PORT = 8080, 8002, 9000
USER = 65532
GPU = "nvidia.com/gpu"
CA_ANNOTATION = "serving.kserve.io/s3-cabundle-configmap"
TRITON_IMAGE = "nvidia/tritonserver:25.08-py3"

Document = dict[str, Any]


def container_security() -> Document:
    """Security context of all our containers: the restricted pod security standard, and a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def serving_runtime(*, gpu: bool = False, namespace: str = "default", registry: str = "", tag: str = "") -> Document:
    """The ServingRuntime of our predictor's image.

    It supports the formats `onnx` and `mlflow`: a published model is a folder in MLflow's format that contains the served
    graph. For a model without a graph see `mlflow_runtime`, which KServe selects if a service of format `mlflow` names no
    runtime.

    Args:
        gpu: Run the graph on CUDA, with one GPU per replica.
    """
    name = GPU_RUNTIME if gpu else RUNTIME
    container = {
        "name": CONTAINER,
        "image": image("predictor-gpu" if gpu else "predictor", registry=registry, tag=tag),
        # KServe inserts the InferenceService's name, which is the name of the model in requests.
        "args": ["--model", MODELS_FOLDER, "--name", "{{.Name}}", "--port", str(PORT)],
        **_health("/v2/health/live", "/v2/health/ready"),
        "ports": [_port(PORT, "http1")],
        "resources": _gpu_resources("4Gi") if gpu else _resources("250m", "1", "256Mi", "512Mi"),
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}],  # noqa: S108  a path in the container
    }
    supported = [_format("onnx", chosen=not gpu), _format("mlflow", chosen=False)]
    return _runtime(name, namespace, container, supported, ["v1", "v2"], PORT, [_scratch("64Mi")])


def mlflow_runtime(*, namespace: str = "default", registry: str = "", tag: str = "") -> Document:
    """The ServingRuntime for MLflow models without a graph: our predictor with the models' libraries.

    Such a model runs in a separate process next to the server. KServe's own runtime for `mlflow` is unmaintained, so KServe
    selects this one if a service names none.
    """
    container = {
        "name": CONTAINER,
        "image": image("tabular", registry=registry, tag=tag),
        "command": ["python", "-m", "stagewright.components.predictor"],
        "args": ["--model", MODELS_FOLDER, "--name", "{{.Name}}", "--port", str(PORT)],
        **_health("/v2/health/live", "/v2/health/ready"),
        "ports": [_port(PORT, "http1")],
        "resources": _resources("500m", "2", "1Gi", "2Gi"),
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}],  # noqa: S108  a path in the container
    }
    supported = [_format("mlflow", chosen=True)]
    return _runtime(MLFLOW_RUNTIME, namespace, container, supported, ["v1", "v2"], PORT, [_scratch("512Mi")])


def _format(name: str, *, chosen: bool) -> Document:
    """A model format; the priority applies among automatically selected runtimes."""
    return {"autoSelect": chosen, "name": name, **({"priority": 1} if chosen else {})}


def triton_runtime(*, namespace: str = "default", image: str = TRITON_IMAGE) -> Document:
    """The ServingRuntime of NVIDIA Triton for model repositories on a GPU: ONNX, TensorRT and TorchScript.

    `storageUri` is the repository, `<root>/<name of the service>/1/model.onnx`, not the folder of a published model.
    """
    shared_memory = {"emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}, "name": "shared-memory"}
    container = {
        "name": CONTAINER,
        "image": image,
        "command": ["tritonserver"],
        "args": [
            f"--model-repository={MODELS_FOLDER}", f"--http-port={PORT}", f"--grpc-port={TRITON_GRPC_PORT}",
            f"--metrics-port={TRITON_METRICS_PORT}", "--strict-readiness=true", "--exit-on-error=true",
        ],
        **_health("/v2/health/live", "/v2/health/ready"),
        "ports": [_port(PORT, "http1")],
        "resources": _gpu_resources("8Gi"),
        "securityContext": container_security(),
        "volumeMounts": [
            {"mountPath": "/tmp", "name": "scratch"},  # noqa: S108  a path in the container
            {"mountPath": "/dev/shm", "name": "shared-memory"},  # noqa: S108
        ],
    }  # fmt: skip
    supported = [{"autoSelect": False, "name": name} for name in ("onnx", "tensorrt", "pytorch", "triton")]
    volumes = [_scratch("1Gi"), shared_memory]
    return _runtime(TRITON_RUNTIME, namespace, container, supported, ["v2", "grpc-v2"], TRITON_METRICS_PORT, volumes)


def _runtime(
    name: str, namespace: str, container: Document, formats: list[Document], protocols: list[str], metrics_port: int,
    volumes: list[Document],
) -> Document:  # fmt: skip
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": name, "namespace": namespace, "labels": _labels(name)},
        "spec": {
            "annotations": {"prometheus.kserve.io/path": "/metrics", "prometheus.kserve.io/port": str(metrics_port)},
            "containers": [container],
            "multiModel": False,
            "protocolVersions": protocols,
            "supportedModelFormats": formats,
            "volumes": volumes,
        },
    }


def _health(live: str, ready: str) -> Document:
    """Default probes for services without their own; our services probe their model."""
    return {
        "livenessProbe": {
            "httpGet": {"path": live, "port": PORT},
            "failureThreshold": 3,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        "readinessProbe": {
            "httpGet": {"path": ready, "port": PORT},
            "failureThreshold": 3,
            "periodSeconds": 5,
            "timeoutSeconds": 2,
        },
    }


def _port(number: int, name: str) -> Document:
    return {"containerPort": number, "name": name, "protocol": "TCP"}


def _resources(cpu: str, cpu_limit: str, memory: str, memory_limit: str) -> Document:
    return {"limits": {"cpu": cpu_limit, "memory": memory_limit}, "requests": {"cpu": cpu, "memory": memory}}


def _gpu_resources(memory: str) -> Document:
    """Requests equal limits: under node pressure, a pod with a GPU is evicted last."""
    quantities = {"cpu": "2", "memory": memory, GPU: "1"}
    return {"limits": quantities, "requests": dict(quantities)}


def _scratch(size: str) -> Document:
    return {"emptyDir": {"sizeLimit": size}, "name": "scratch"}


def storage_access(
    *, endpoint: str, region: str = "us-east-1", namespace: str = "default", authority: str = ""
) -> list[Document]:
    """The Secret and the ServiceAccount for KServe's storage initializer to read the object store.

    The Secret has no values: a command or External Secrets adds the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` in the
    cluster, so that they are never in a file.

    Args:
        endpoint: URL of the store inside the cluster, with its scheme.
        authority: ConfigMap whose key `cabundle.crt` holds the CA certificate of the store; empty for a public CA.
    """
    url = urlsplit(endpoint)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": STORAGE_SECRET,
            "namespace": namespace,
            "annotations": {
                **({CA_ANNOTATION: authority} if authority else {}),
                "serving.kserve.io/s3-endpoint": url.netloc,
                "serving.kserve.io/s3-region": region,
                "serving.kserve.io/s3-usehttps": "1" if url.scheme == "https" else "0",
                "serving.kserve.io/s3-usevirtualbucket": "false",
                "serving.kserve.io/s3-verifyssl": "1" if url.scheme == "https" else "0",
            },
            "labels": _labels(SERVICE_ACCOUNT),
        },
        "type": "Opaque",
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace, "labels": _labels(SERVICE_ACCOUNT)},
        "automountServiceAccountToken": False,
        "secrets": [{"name": STORAGE_SECRET}],
    }
    return [secret, account]


def _labels(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "stagewright",
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "stagewright",
    }

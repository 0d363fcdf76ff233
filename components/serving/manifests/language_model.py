"""A large language model on KServe's Hugging Face runtime with vLLM: one function renders its InferenceService.

Combinations that vLLM would reject after minutes of downloading are rejected here: plain AWQ and GPTQ kernels compute in
float16 only, Marlin kernels in float16 or bfloat16, FP8 not in 32 bits; an 8-bit cache needs a GPU that supports it.
"""

import re
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter, one_of
from stagewright.components.runtime.service_names import check_service
from stagewright.components.serving.manifests.inference_service import (
    API_VERSION,
    KIND,
    MODES,
    Replicas,
    Resources,
    check_replicas,
)
from stagewright.components.serving.manifests.serving_runtime import GPU, PORT, SERVICE_ACCOUNT

RUNTIME = "kserve-huggingfaceserver"
QUANTIZATIONS = ("none", "awq", "gptq", "fp8")
KERNELS = ("marlin", "plain")
DTYPES = ("auto", "float16", "bfloat16", "float32")
CACHE_DTYPES = ("auto", "fp8")
GENERATIONS = ("turing", "ampere", "ada", "hopper", "blackwell")  # of NVIDIA's GPUs, from compute capability 7.5 to 10
_USER = 1000  # of KServe's image
COMPONENT = "language-model"  # its network policy allows access to the hub; the policy of other models does not
_HUB = re.compile(r"hf://[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w./-]+)?")
_STORE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/\S*[^/\s]")

Document = dict[str, Any]
LLM_RESOURCES = Resources("4", "8", "24Gi", "32Gi")


@dataclass(frozen=True, slots=True)
class Engine:
    """Settings of vLLM.

    Attributes:
        quantization: Quantization of the weights: none; awq or gptq for a model stored that way; fp8 for a model stored that
            way or to be quantized on loading.
        kernel: For awq and gptq: marlin, from Ampere on, or plain, which is several times slower.
        dtype: Data type of computation; auto: float16 with plain kernels, otherwise the model's own.
        cache_dtype: Data type of the key-value cache: auto, or fp8 for twice the tokens.
        tensor_parallel: Number of GPUs per replica; layers are divided among them.
        max_model_len: Maximum tokens of prompt and answer; None: the model's own limit.
        gpu_memory: Share of each GPU's memory for weights and cache, 0 to 1.
        max_sequences: Maximum number of concurrent requests; None: vLLM's default.
        gpu_generation: Oldest GPU generation that a replica may run on.
    """

    quantization: str = "none"
    kernel: str = "marlin"
    dtype: str = "auto"
    cache_dtype: str = "auto"
    tensor_parallel: int = 1
    max_model_len: int | None = None
    gpu_memory: float = 0.9
    max_sequences: int | None = None
    gpu_generation: str = "ampere"

    def check(self) -> None:
        """Reject combinations that vLLM would reject.

        Raises:
            BadParameter: Naming the setting and its valid values.
        """
        one_of("quantization", self.quantization, QUANTIZATIONS)
        one_of("kernel", self.kernel, KERNELS)
        one_of("dtype", self.dtype, DTYPES)
        one_of("cache_dtype", self.cache_dtype, CACHE_DTYPES)
        one_of("gpu_generation", self.gpu_generation, GENERATIONS)
        self._check_numbers()
        generation = GENERATIONS.index(self.gpu_generation)
        packed = self.quantization in {"awq", "gptq"}
        if self.kernel == "plain" and not packed:
            raise BadParameter("kernel", got=self.kernel, expected="marlin, as plain kernels are for quantization awq or gptq")
        if packed and self.kernel == "plain" and self.dtype not in {"auto", "float16"}:
            raise BadParameter(
                "dtype", got=self.dtype, expected=f"float16, the only one of vLLM's plain {self.quantization} kernels"
            )
        if packed and self.kernel == "marlin" and generation < GENERATIONS.index("ampere"):
            raise BadParameter("kernel", got=self.kernel, expected="plain on GPUs before Ampere, for which Marlin is not made")
        if self.quantization != "none" and self.dtype == "float32":
            raise BadParameter("dtype", got=self.dtype, expected="float16 or bfloat16 with quantized weights")
        if self.dtype == "bfloat16" and generation < GENERATIONS.index("ampere"):
            raise BadParameter("dtype", got=self.dtype, expected="float16 on GPUs before Ampere, which have no bfloat16")
        if self.cache_dtype == "fp8" and generation < GENERATIONS.index("ada"):
            raise BadParameter("cache_dtype", got="fp8", expected="auto on GPUs before Ada, which do not compute in 8 bits")

    def _check_numbers(self) -> None:
        if self.tensor_parallel < 1 or self.tensor_parallel & (self.tensor_parallel - 1):
            expected = "1, 2, 4, 8 or another power of two: attention heads are divided among GPUs"
            raise BadParameter("tensor_parallel", got=self.tensor_parallel, expected=expected)
        if not 0 < self.gpu_memory <= 1:
            raise BadParameter("gpu_memory", got=self.gpu_memory, expected="a share above 0 and at most 1")
        for name in ("max_model_len", "max_sequences"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadParameter(name, got=value, expected="a whole number of at least 1, or nothing")

    def arguments(self) -> list[str]:
        """Command-line arguments of KServe's Hugging Face server for vLLM."""
        self.check()
        dtype = "float16" if self.dtype == "auto" and self.kernel == "plain" else self.dtype
        given: dict[str, Any] = {
            "dtype": None if dtype == "auto" else dtype,
            "gpu-memory-utilization": f"{self.gpu_memory:g}",
            "kv-cache-dtype": None if self.cache_dtype == "auto" else self.cache_dtype,
            "max-model-len": self.max_model_len,
            "max-num-seqs": self.max_sequences,
            "quantization": _METHODS[self.quantization, self.kernel],
            "tensor-parallel-size": self.tensor_parallel if self.tensor_parallel > 1 else None,
        }
        return [f"--{name}={value}" for name, value in given.items() if value is not None]


# With "awq", vLLM selects the plain kernels even if faster ones are available.
_METHODS = {
    ("none", "marlin"): None, ("awq", "marlin"): "awq_marlin", ("awq", "plain"): "awq", ("gptq", "marlin"): "gptq_marlin",
    ("gptq", "plain"): "gptq", ("fp8", "marlin"): "fp8",
}  # fmt: skip


def language_model_service(
    name: str,
    model: str,
    *,
    engine: Engine | None = None,
    mode: str = "Standard",
    namespace: str = "default",
    resources: Resources = LLM_RESOURCES,
    replicas: Replicas | None = None,
    service_account: str = SERVICE_ACCOUNT,
    token_secret: str = "",
    load_minutes: int = 30,
) -> Document:
    """The InferenceService of a language model; it serves OpenAI's API under `/openai/v1`.

    Args:
        name: Name of the service and of the model in requests.
        model: `hf://OWNER/NAME`, `hf://OWNER/NAME:REVISION`, or `s3://BUCKET/FOLDER` with the files of a Hugging Face model.
        service_account: ServiceAccount whose Secret holds the credentials of the object store.
        token_secret: Secret whose key `HF_TOKEN` gives access to gated models; empty for open ones.
        load_minutes: Maximum loading time in minutes before the pod counts as failed.

    Raises:
        BadParameter: Naming the invalid parameter, or the invalid combination.
    """
    engine, replicas = engine or Engine(), replicas or Replicas()
    one_of("mode", mode, MODES)
    check_service(name, namespace, mode)
    check_replicas(replicas, mode)
    if not (_HUB.fullmatch(model) or _STORE.fullmatch(model)):
        raise BadParameter("model", got=model, expected="hf://OWNER/NAME[:REVISION] or s3://BUCKET/FOLDER")
    if load_minutes < 1:
        raise BadParameter("load_minutes", got=load_minutes, expected="a whole number of at least 1")
    predictor: Document = {
        "automountServiceAccountToken": False,
        **({} if mode == "Knative" else {"deploymentStrategy": {"type": "Recreate"}}),  # there is no spare set of GPUs
        "maxReplicas": replicas.maximum,
        "minReplicas": replicas.minimum,
        "model": _model(name, model, engine, resources, token_secret, load_minutes),
        "serviceAccountName": service_account,
        **({"scaleMetric": "concurrency", "scaleTarget": 16} if mode == "Knative" else {}),
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": [{"emptyDir": {"sizeLimit": "16Gi"}, "name": "scratch"}],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": _annotations(mode, replicas),
            "labels": {
                "app.kubernetes.io/component": COMPONENT,
                "app.kubernetes.io/instance": name,
                "app.kubernetes.io/managed-by": "stagewright",
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/part-of": "stagewright",
                "stagewright/variant": "llm" if engine.quantization == "none" else f"llm-{engine.quantization}",
            },
        },
        "spec": {"predictor": dict(sorted(predictor.items()))},
    }


def _annotations(mode: str, replicas: Replicas) -> dict[str, str]:
    if mode == "Knative":
        kpa = "kpa.autoscaling.knative.dev"
        return {"autoscaling.knative.dev/class": kpa, "serving.kserve.io/deploymentMode": mode}
    # CPU load says nothing about GPU load: scale by vLLM's own queue.
    scaled = "external" if replicas.maximum > replicas.minimum else "none"
    return {"serving.kserve.io/autoscalerClass": scaled, "serving.kserve.io/deploymentMode": mode}


def _model(name: str, model: str, engine: Engine, resources: Resources, token_secret: str, load_minutes: int) -> Document:
    health = {"httpGet": {"path": "/v2/health/live", "port": PORT}}
    ready = {"httpGet": {"path": f"/v2/models/{name}/ready", "port": PORT}}
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": token_secret, "key": "HF_TOKEN"}}}
    devices = {GPU: str(engine.tensor_parallel)}
    quantities = {kind: {**given, **devices} for kind, given in resources.to_dict().items()}
    return {
        "args": [f"--model_name={name}", "--backend=vllm", *engine.arguments()],
        # All writes go to the scratch volume: caches of the hub, of torch and of vLLM.
        "env": [{"name": "HOME", "value": "/tmp"}, *([token] if token_secret else [])],  # noqa: S108
        "livenessProbe": {**health, "failureThreshold": 3, "periodSeconds": 20, "timeoutSeconds": 10},
        "modelFormat": {"name": "huggingface"},
        "protocolVersion": "v2",
        "readinessProbe": {**ready, "failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": quantities,
        "runtime": RUNTIME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "startupProbe": {**ready, "failureThreshold": load_minutes * 6, "periodSeconds": 10, "timeoutSeconds": 5},
        "storageUri": model,
        "volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}],  # noqa: S108  a path in the container
    }

"""Write the rendered manifests: serving runtimes, and examples of what `deploy_model` applies.

Run as `python -m stagewright.pipelines.tooling.examples [--check]`. A variant's overlay holds what differs from the
base, computed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from stagewright.components.runtime.documents import overlaid
from stagewright.components.runtime.errors import InputError, StagewrightError
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.canary import splitter
from stagewright.components.serving.manifests.inference_service import Replicas, inference_service
from stagewright.components.serving.manifests.language_model import Engine, language_model_service
from stagewright.components.serving.manifests.serving_runtime import (
    mlflow_runtime,
    serving_runtime,
    storage_access,
    triton_runtime,
)
from stagewright.components.serving.variants import VARIANTS, find

FOLDER = Path("manifests")
NAMESPACE = "stagewright"
NAME, VERSION, NEXT_VERSION = "churn", "v1.0.0", "v1.1.0"
HEADER = "# Written by stagewright.pipelines.tooling.examples: change that, and run it again.\n"

Document = dict[str, Any]


def service(variant: str = "cpu", *, name: str = NAME, version: str = VERSION, **changes: Any) -> Document:
    """The example's InferenceService: a churn model, of which two replicas run, or one on a GPU."""
    replicas = Replicas(1, 1) if find(variant).gpus else Replicas(2, 4)
    given: Document = {"model_uri": f"s3://models/{NAME}/{version}/", "namespace": NAMESPACE, "replicas": replicas}
    return inference_service(name=name, version=version, variant=variant, **given | changes)


def render() -> dict[Path, str]:
    """Every file by its path in the folder of manifests."""
    _, account = storage_access(endpoint="http://minio:9000", namespace=NAMESPACE)
    runtimes = [
        serving_runtime(namespace=NAMESPACE),
        mlflow_runtime(namespace=NAMESPACE),
        serving_runtime(gpu=True, namespace=NAMESPACE),
        triton_runtime(namespace=NAMESPACE),
    ]
    base = service()
    files = {
        "base/serving/service-account.yaml": to_yaml(account),
        "base/serving/runtimes.yaml": to_yaml(*runtimes),
        "inference/base/inference-service.yaml": to_yaml(base),
        "inference/base/kustomization.yaml": _kustomization("A published model, served on CPUs.", ["inference-service.yaml"]),
    }
    for variant in VARIANTS:
        folder = f"inference/overlays/{variant}"
        patch = difference(base, service(variant))
        files[f"{folder}/kustomization.yaml"] = _kustomization(
            _TITLES[variant], ["../../base"], ["patch.yaml"] if patch else []
        )
        if patch:
            identity = {key: base[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": NAME, "namespace": NAMESPACE}}
            files[f"{folder}/patch.yaml"] = to_yaml(overlaid(identity, patch))
    files |= _canary() | _splitter() | _language_models()
    return {Path(path): HEADER + text for path, text in sorted(files.items())}


_TITLES = {
    "cpu": "The version's own graph on CPUs: the base as it is.",
    "cpu-int8": "The quantized graph on CPUs, published as a variant of the version.",
    "gpu": "The version's own graph on a GPU.",
    "gpu-fp16": "The half-precision graph on a GPU, published as a variant of the version.",
    "gpu-triton": "The version's graph on a GPU by NVIDIA's Triton, from a repository that is published as a variant.",
}


LLM = "assistant"
_LLM_BASE = "hf://Qwen/Qwen2.5-7B-Instruct"
_LLM_TITLES = {
    "awq": "Weights of 4 bits by AWQ, computed by Marlin's kernels: a third of the memory.",
    "gptq": "Weights of 4 bits by GPTQ, computed by Marlin's kernels: a third of the memory.",
    "fp8": "Weights quantized to 8 bits while they are loaded, and a cache of 8 bits: for GPUs from Ada on.",
}
_LLM_VARIANTS = {
    "awq": (f"{_LLM_BASE}-AWQ", Engine("awq", max_model_len=8192)),
    "gptq": (f"{_LLM_BASE}-GPTQ-Int4", Engine("gptq", max_model_len=8192)),
    "fp8": (_LLM_BASE, Engine("fp8", cache_dtype="fp8", max_model_len=8192, gpu_generation="ada")),
}


def _language_models() -> dict[str, str]:
    """A language model in bfloat16, and overlays that quantize it."""
    plain = language_model_service(LLM, _LLM_BASE, engine=Engine(dtype="bfloat16", max_model_len=8192), namespace=NAMESPACE)
    title = "A language model by vLLM in KServe's Hugging Face runtime, in bfloat16 on one GPU."
    files = {
        "inference/language-model/inference-service.yaml": to_yaml(plain),
        "inference/language-model/kustomization.yaml": _kustomization(title, ["inference-service.yaml"]),
    }
    identity = {key: plain[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": LLM, "namespace": NAMESPACE}}
    for quantization, (model, engine) in _LLM_VARIANTS.items():
        folder = f"inference/overlays/llm-{quantization}"
        patch = difference(plain, language_model_service(LLM, model, engine=engine, namespace=NAMESPACE))
        files[f"{folder}/kustomization.yaml"] = _kustomization(
            _LLM_TITLES[quantization], ["../../language-model"], ["patch.yaml"]
        )
        files[f"{folder}/patch.yaml"] = to_yaml(overlaid(identity, patch))
    return files


def _canary() -> dict[str, str]:
    """Knative: the same service of a newer version; revisions share the traffic."""
    candidate = service(version=NEXT_VERSION, mode="Knative", traffic=10)
    title = "A canary in Knative mode: one request in ten goes to the new version. Without the percentage it gets them all."
    return {
        "inference/canary/inference-service.yaml": to_yaml(candidate),
        "inference/canary/kustomization.yaml": _kustomization(title, ["inference-service.yaml"]),
    }


def _splitter() -> dict[str, str]:
    """Standard mode: two services behind a graph."""
    candidate = service(name=f"{NAME}-next", version=NEXT_VERSION)
    graph = splitter(f"{NAME}-split", {NAME: 90, f"{NAME}-next": 10}, namespace=NAMESPACE)
    title = "A canary in Standard mode: a graph sends one request in ten to a second service, of the new version."
    return {
        "inference/splitter/candidate.yaml": to_yaml(candidate),
        "inference/splitter/inference-graph.yaml": to_yaml(graph),
        "inference/splitter/kustomization.yaml": _kustomization(title, ["../base", "candidate.yaml", "inference-graph.yaml"]),
    }


def _kustomization(title: str, resources: list[str], patches: list[str] | None = None) -> str:
    document: Document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
    if patches:
        document["patches"] = [{"path": path} for path in patches]
    return f"# {title}\n{to_yaml(document)}"


def difference(base: Document, other: Document) -> Document:
    """A JSON merge patch (RFC 7386) that makes the one of the other; empty if they are equal."""
    patch: Document = dict.fromkeys(key for key in base if key not in other)
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            inner = difference(base[key], value)
            patch |= {key: inner} if inner else {}
        elif key not in base or base[key] != value:
            patch[key] = value
    return patch


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every file.

    Raises:
        InputError: If the folder cannot be written.
    """
    texts = render()
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"manifests cannot be written to {folder}: {error.strerror or error}") from None
    return list(texts)


def stale(folder: Path = FOLDER) -> list[Path]:
    """Files that are outdated or missing."""
    return [path for path, text in render().items() if not (folder / path).is_file() or (folder / path).read_text() != text]


def main() -> int:
    """The command line: 1 if a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m stagewright.pipelines.tooling.examples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only list stale files")
    given = parser.parse_args()
    try:
        found = stale() if given.check else write()
    except StagewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    for path in found:
        sys.stdout.write(f"{'stale: ' if given.check else ''}{FOLDER / path}\n")
    return 1 if given.check and found else 0


if __name__ == "__main__":
    sys.exit(main())

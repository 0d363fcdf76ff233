"""Language models by vLLM: what is rendered is valid, and what vLLM would refuse is refused first."""

from pathlib import Path
from typing import Any

import pytest
from support.manifests import VALIDATOR, validate

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.inference_service import Replicas
from stagewright.components.serving.manifests.language_model import Engine, language_model_service

MODEL = "hf://Qwen/Qwen2.5-7B-Instruct"
ENGINES = [
    Engine(), Engine("awq"), Engine("awq", kernel="plain", gpu_generation="turing"), Engine("gptq", dtype="bfloat16"),
    Engine("fp8", cache_dtype="fp8", gpu_generation="hopper"), Engine(tensor_parallel=4, max_model_len=4096, max_sequences=64),
]  # fmt: skip


def make(**changes: Any) -> dict[str, Any]:
    return language_model_service(**{"name": "assistant", "model": MODEL} | changes)


def arguments(engine: Engine) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in engine.arguments())


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator and the schemas lie in ../shared, which this clone lacks")
@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_every_engine_is_valid_for_kserve(tmp_path: Path, mode: str) -> None:
    documents = [make(name=f"m{at}", engine=engine, mode=mode, token_secret="hub") for at, engine in enumerate(ENGINES)]
    (tmp_path / "manifest.yaml").write_text(to_yaml(*documents))

    done = validate(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ENGINES)} objects valid, 0 invalid, 0 skipped" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (Engine("awq"), {"quantization": "awq_marlin"}),
        (Engine("awq", kernel="plain"), {"quantization": "awq", "dtype": "float16"}),
        (Engine("gptq"), {"quantization": "gptq_marlin"}),
        (Engine("fp8"), {"quantization": "fp8"}),
        (Engine(tensor_parallel=2, max_model_len=4096), {"tensor-parallel-size": "2", "max-model-len": "4096"}),
        (Engine(dtype="bfloat16", gpu_memory=0.85), {"dtype": "bfloat16", "gpu-memory-utilization": "0.85"}),
    ],
)
def test_settings_become_arguments_of_vllm(engine: Engine, expected: dict[str, str]) -> None:
    assert arguments(engine) == {"gpu-memory-utilization": "0.9"} | expected


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (Engine("awq", kernel="plain", dtype="bfloat16"), "float16, the only one of vLLM's plain awq kernels"),
        (Engine("gptq", kernel="plain", dtype="bfloat16"), "float16, the only one of vLLM's plain gptq kernels"),
        (Engine("awq", gpu_generation="turing"), "plain on GPUs before Ampere"),
        (Engine("fp8", dtype="float32"), "float16 or bfloat16 with quantized weights"),
        (Engine("fp8", kernel="plain"), "plain kernels are for quantization awq or gptq"),
        (Engine(dtype="bfloat16", gpu_generation="turing"), "have no bfloat16"),
        (Engine(cache_dtype="fp8"), "auto on GPUs before Ada"),
        (Engine("int4"), "parameter 'quantization' is 'int4'; expected one of none, awq, gptq, fp8"),
        (Engine(tensor_parallel=3), "a power of two|another power of two"),
        (Engine(gpu_memory=1.5), "parameter 'gpu_memory'"),
        (Engine(max_model_len=0), "parameter 'max_model_len'"),
    ],
)
def test_what_vllm_refuses_is_refused_first(engine: Engine, message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        make(engine=engine)


@pytest.mark.parametrize(
    "model", ["Qwen/Qwen2.5-7B", "hf://Qwen", "https://example.com/model", "s3://models", "s3://models/llm/"]
)
def test_models_come_from_the_hub_or_the_store(model: str) -> None:
    with pytest.raises(BadParameter, match="parameter 'model'"):
        make(model=model)


def test_each_gpu_is_asked_for_and_named_runtime_is_used() -> None:
    predictor = make(engine=Engine(tensor_parallel=4), model="s3://models/llm/qwen")["spec"]["predictor"]

    assert {kind: given["nvidia.com/gpu"] for kind, given in predictor["model"]["resources"].items()} == {
        "limits": "4", "requests": "4",
    }  # fmt: skip
    assert predictor["model"]["runtime"] == "kserve-huggingfaceserver"
    assert predictor["model"]["modelFormat"] == {"name": "huggingface"}
    assert predictor["model"]["storageUri"] == "s3://models/llm/qwen"
    assert "--backend=vllm" in predictor["model"]["args"]


def test_scaling_is_left_to_who_sees_the_gpu() -> None:
    document = make(replicas=Replicas(1, 3))

    assert document["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


def test_token_is_a_reference_to_a_secret() -> None:
    env = {entry["name"]: entry for entry in make(token_secret="hub")["spec"]["predictor"]["model"]["env"]}

    assert env["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert "HF_TOKEN" not in {entry["name"] for entry in make()["spec"]["predictor"]["model"]["env"]}

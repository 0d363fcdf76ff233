"""Files that our functions make are what the functions make now."""

import copy
import os
import subprocess
import sys

import pytest
from support.manifests import MANIFESTS, ROOT, find, objects

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.serving.manifests.canary import splitter, standard_canary
from stagewright.components.serving.manifests.inference_service import Resources, inference_service
from stagewright.components.serving.manifests.serving_runtime import serving_runtime, storage_access, triton_runtime
from stagewright.components.serving.variants import VARIANTS, location
from stagewright.pipelines.tooling import examples


def test_no_file_is_stale() -> None:
    assert examples.stale(MANIFESTS) == []


def test_the_files_do_not_depend_on_the_order_of_a_set() -> None:
    code = "from stagewright.pipelines.tooling import examples; print(examples.stale(__import__('pathlib').Path('manifests')))"
    for seed in ("1", "2"):
        command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONHASHSEED": seed}
        shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        assert shown.strip() == "[]"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_renders_to_what_deploy_model_applies(variant: str) -> None:
    assert objects(f"inference/overlays/{variant}") == (examples.service(variant),)


def test_the_canary_renders_to_what_deploy_model_applies() -> None:
    assert objects("inference/canary") == (examples.service(version=examples.NEXT_VERSION, mode="Knative", traffic=10),)


def test_the_splitter_names_services_that_are_there() -> None:
    graph = find("inference/splitter", "InferenceGraph", "churn-split")
    names = {item["metadata"]["name"] for item in objects("inference/splitter") if item["kind"] == "InferenceService"}

    steps = graph["spec"]["nodes"]["root"]["steps"]
    assert {step["serviceName"] for step in steps} == names
    assert sum(step["weight"] for step in steps) == 100


@pytest.mark.parametrize("made", [serving_runtime(), serving_runtime(gpu=True), triton_runtime()])
def test_a_runtime_of_the_tree_is_the_function_s(made: dict) -> None:
    found = copy.deepcopy(find("overlays/kind", "ServingRuntime", made["metadata"]["name"]))
    expected = copy.deepcopy(made)
    expected["metadata"] |= {"namespace": "stagewright", "annotations": {"argocd.argoproj.io/sync-wave": "2"}}

    assert found == expected


def test_the_account_of_the_tree_is_the_function_s() -> None:
    _, account = storage_access(endpoint="http://minio:9000")

    found = find("overlays/kind", "ServiceAccount", account["metadata"]["name"])
    assert found["secrets"] == account["secrets"]
    assert found["automountServiceAccountToken"] is False


def test_every_variant_has_its_runtime_in_the_tree() -> None:
    runtimes = {item["metadata"]["name"]: item for item in objects("overlays/kind") if item["kind"] == "ServingRuntime"}

    for variant in VARIANTS:
        model = examples.service(variant)["spec"]["predictor"]["model"]
        runtime = runtimes[model["runtime"]]["spec"]
        assert model["protocolVersion"] in runtime["protocolVersions"]
        assert model["modelFormat"]["name"] in {given["name"] for given in runtime["supportedModelFormats"]}
        # KServe merges the two containers: neither may ask for a GPU alone.
        limits = runtime["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == ("nvidia.com/gpu" in model["resources"]["limits"])


def test_only_one_runtime_is_chosen_by_itself() -> None:
    for name, runtime in (("onnx", "stagewright-predictor"), ("mlflow", "stagewright-predictor-mlflow")):
        choosing = [
            item["metadata"]["name"]
            for item in objects("overlays/kind")
            if item["kind"] == "ServingRuntime"
            for given in item["spec"]["supportedModelFormats"]
            if given["name"] == name and given["autoSelect"]
        ]
        assert choosing == [runtime]


def test_a_variant_with_a_graph_of_its_own_is_below_its_version() -> None:
    assert location("s3://models/churn/v1.0.0/", "gpu") == "s3://models/churn/v1.0.0/"
    assert location("s3://models/churn/v1.0.0", "gpu-fp16") == "s3://models/churn/v1.0.0/variants/gpu-fp16/"


def test_a_gpu_gets_memory_for_cuda_unless_somebody_chose() -> None:
    given = {"name": "churn", "version": "v1.0.0", "model_uri": "s3://models/churn/v1.0.0/", "variant": "gpu"}
    chosen = inference_service(**given, resources=Resources("1", "4", "8Gi", "8Gi"))

    default = inference_service(**given)["spec"]["predictor"]
    assert default["model"]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert default["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert chosen["spec"]["predictor"]["model"]["resources"]["limits"]["memory"] == "8Gi"


def test_a_canary_in_standard_mode_must_be_asked_for_twice() -> None:
    stable, candidate = examples.service(), examples.service(version="v1.1.0")

    with pytest.raises(BadParameter, match=r"up to 0.20 it ignores it: put two services behind a splitter"):
        standard_canary(stable, candidate, traffic=10)
    document = standard_canary(stable, candidate, traffic=10, supported=True)

    (canary,) = document["spec"]["canary"]
    assert canary["trafficPercent"] == 10
    assert canary["predictor"]["name"] == "v1-1-0"
    assert canary["predictor"]["model"]["storageUri"] == "s3://models/churn/v1.1.0"
    assert {**document["spec"], "canary": None} == {**stable["spec"], "canary": None}


@pytest.mark.parametrize("weights", [{"a": 100}, {"a": 60, "b": 50}, {"a": 110, "b": -10}])
def test_shares_that_do_not_add_up_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(BadParameter, match="that make 100 together"):
        splitter("split", weights)

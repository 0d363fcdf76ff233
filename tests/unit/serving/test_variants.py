"""Variants beyond the predictor's own: Triton from its repository, and models that their own library computes."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.protobuf import text_format
from support import triton_grpc
from support.exported_models import write_wine_model
from support.manifests import VALIDATOR, validate
from support.predictors import predictor
from typer.testing import CliRunner

from stagewright.components.export.targets import tensorflow_serving
from stagewright.components.export.targets.triton import write_variant
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.manifest import read_manifest
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving import client
from stagewright.components.serving.deploy import deploy
from stagewright.components.serving.manifests.inference_service import Resources, inference_service
from stagewright.components.serving.manifests.serving_runtime import mlflow_runtime, serving_runtime
from stagewright.components.serving.publish import publish
from stagewright.pipelines.cli.main import app

triton_schema, _ = triton_grpc.load()


def service(**changes: Any) -> dict[str, Any]:
    given = {"name": "wine", "version": "v1.1.0", "model_uri": "s3://models/wine/v1.1.0/"}
    return inference_service(**given | changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("wine") / "model")


def test_triton_is_given_its_repository_and_a_gpu() -> None:
    predictor = service(variant="gpu-triton")["spec"]["predictor"]

    assert predictor["model"]["storageUri"] == "s3://models/wine/v1.1.0/variants/gpu-triton/repository"
    assert predictor["model"]["runtime"] == "stagewright-triton"
    assert predictor["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_model_without_a_graph_gets_its_library() -> None:
    model = service(worker=True)["spec"]["predictor"]["model"]

    assert (model["runtime"], model["modelFormat"]) == ("stagewright-predictor-mlflow", {"name": "mlflow"})
    assert model["resources"]["limits"]["memory"] == "2Gi"
    assert (
        service(worker=True, resources=Resources("1", "1", "3Gi", "3Gi"))["spec"]["predictor"]["model"]["resources"]["limits"][
            "memory"
        ]
        == "3Gi"
    )
    with pytest.raises(BadParameter, match="cpu for a model without a graph"):
        service(worker=True, variant="gpu")


def test_only_the_runtime_with_the_libraries_is_chosen_for_mlflow() -> None:
    chosen = {
        (runtime["metadata"]["name"], supported["name"])
        for runtime in (serving_runtime(), serving_runtime(gpu=True), mlflow_runtime())
        for supported in runtime["spec"]["supportedModelFormats"]
        if supported["autoSelect"]
    }

    assert chosen == {("stagewright-predictor", "onnx"), ("stagewright-predictor-mlflow", "mlflow")}


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator and the schemas lie in ../shared, which this clone lacks")
def test_both_are_valid_for_kserve(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        to_yaml(service(variant="gpu-triton"), service(name="skops", worker=True), mlflow_runtime(tag="1.0.0"))
    )

    done = validate(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_triton_variant_is_published_and_delivered(model: Path, object_store: str, tmp_path: Path) -> None:
    store = ObjectStore.from_environment("tests")
    publish(model, store, name="triton-wine", version="v1.1.0")
    command = ["export", "triton", "s3://models/triton-wine/v1.1.0", "--name", "triton-wine", "--publish", "v1.1.0", "--json"]

    first, second = (CliRunner().invoke(app, command, catch_exceptions=False) for _ in range(2))

    uri = "s3://models/triton-wine/v1.1.0/variants/gpu-triton/"
    assert json.loads(first.stdout.splitlines()[-1]) == {"path": uri, "changed": True}
    assert json.loads(second.stdout.splitlines()[-1]) == {"path": uri, "changed": False}
    paths = {file["path"] for file in read_manifest(uri, store)["files"]}
    assert {"repository/triton-wine/config.pbtxt", "repository/triton-wine/1001000/model.onnx"} <= paths
    delivered = deploy(
        name="triton-wine", version="v1.1.0", model_uri="s3://models/triton-wine/v1.1.0/", target="gitops",
        variant="gpu-triton", gitops=str(tmp_path),
    )  # fmt: skip
    assert f"storageUri: {uri}repository\n" in delivered.manifest


def test_this_machine_has_no_triton(model: Path) -> None:
    with pytest.raises(BadParameter, match="this machine runs no Triton"):
        deploy(name="wine", version="v1.0.0", model_uri=str(model), variant="gpu-triton")


def test_the_smoke_test_speaks_as_triton_wants_it(model: Path, tmp_path: Path) -> None:
    """Datatypes and shapes of each tensor are exactly those of the configuration, which Triton insists on."""
    write_variant(model, tmp_path / "variant", name="wine", version="v1.1.0")
    config = (tmp_path / "variant/repository/wine/config.pbtxt").read_text()
    declared = text_format.Parse(config, triton_schema.ModelConfig())
    types = {"TYPE_FP32": "FP32", "TYPE_INT64": "INT64", "TYPE_STRING": "BYTES"}
    table = pl.read_parquet(tmp_path / "variant/serving/baseline.parquet")

    for given in declared.input:
        tensor = client._tensor(table, given.name)
        assert tensor["datatype"] == types[triton_schema.DataType.Name(given.data_type)]
        assert tensor["shape"] == [table.height, *given.dims]
        assert None not in tensor["data"]


def test_clients_of_tensorflow_serving_get_the_promised_answer(model: Path, tmp_path: Path) -> None:
    tensorflow_serving.write_contract(model, tmp_path / "contract", name="wine")
    expected = json.loads((tmp_path / "contract/answer.json").read_text())

    with predictor(model, name="wine", version="v1.0.0") as url:
        for file in ("request_rows.json", "request_columns.json"):
            body = (tmp_path / "contract" / file).read_bytes()
            request = urllib.request.Request(f"{url}/v1/models/wine:predict", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as reply:
                answered = json.load(reply)
            assert answered["predictions"] == expected["predictions"]
            for own, wanted in zip(answered["probabilities"], expected["probabilities"], strict=True):
                assert own == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("quantization", ["awq", "gptq", "fp8"])
def test_a_language_model_is_rendered_for_gitops(tmp_path: Path, quantization: str) -> None:
    command = [
        "render-language-model", "assistant", "--model", "hf://Qwen/Qwen2.5-7B-Instruct", "--folder", str(tmp_path),
        "--quantization", quantization, "--max-model-len", "4096",
    ]  # fmt: skip

    done = CliRunner().invoke(app, command, catch_exceptions=False)

    assert done.exit_code == 0
    assert {path.name for path in (tmp_path / "default/assistant").iterdir()} == {
        "kustomization.yaml",
        "inference-service.yaml",
    }
    assert validate(tmp_path).returncode == 0 or not VALIDATOR.exists()


def test_exports_from_the_command_line(model: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke

    archived = run(app, ["export", "torchserve", str(model), "--name", "wine", "--archive", str(tmp_path), "--json"])
    contract = run(
        app, ["export", "tensorflow-serving", str(model), "--name", "wine", "--folder", str(tmp_path / "tf"), "--json"]
    )
    repository = run(
        app, ["export", "triton", str(model), "--name", "wine", "--folder", str(tmp_path / "r"), "--cpu", "--json"]
    )

    assert "no longer maintained" in json.loads(archived.stdout.splitlines()[-1])["warning"]
    assert json.loads(contract.stdout.splitlines()[-1]) == {"path": str(tmp_path / "tf")}
    assert json.loads(repository.stdout.splitlines()[-1]) == {"path": str(tmp_path / "r/wine")}
    assert "KIND_CPU" in (tmp_path / "r/wine/config.pbtxt").read_text()

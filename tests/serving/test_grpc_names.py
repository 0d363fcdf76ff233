"""gRPC's names and parameters mean what HTTP's do: nothing is pasted into a path, nothing is ignored."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from support import triton_grpc
from support.mixed_rows import ROWS
from support.published import publish
from support.targets import Target, process

grpc = pytest.importorskip("grpc")
http = pytest.importorskip("tritonclient.http")

Code = grpc.StatusCode
pb, Stub = triton_grpc.load()
NAMES = ["stats", "churn/config", "churn/ready", "churn/infer", "churn/versions/v1.2.3", "", "..", "../churn", "churn/",
         "/churn", "churn%2Fready", "chürn", "churn\x00", "churn:predict", "CHURN", "a" * 5000]  # fmt: skip
VERSIONS = ["v1.2.3/stats", "v1.2.3/config", "v1.2.3/", "../v1.2.3", "stats", "%76%31", "v9.9.9", "ü"]


@pytest.fixture(scope="module")
def target(models: dict[str, Path]) -> Iterator[Target]:
    with process(models["mixed"], "churn", "--grpc-port", "0") as running:
        yield running


@pytest.fixture(scope="module", params=["1", "2"])
def repository(
    models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("repository")
    for version in ("v1.0.0", "v1.1.0"):
        publish(models["mixed"], folder, "other", version)
    publish(models["mixed"], folder, "other", "v1.2.0")
    (folder / "broken" / "v1.0.0" / "serving").mkdir(parents=True)
    (folder / "broken" / "v1.0.0" / "serving" / "model.onnx").write_bytes(b"no model")
    (folder / "broken" / "v1.0.0" / "manifest.json").write_text("{}")
    arguments = ("--repository", str(folder), "--grpc-port", "0", "--workers", request.param)
    with process(models["mixed"], "churn", *arguments) as running:
        yield running


@pytest.fixture
def stub(target: Target) -> Iterator[Any]:
    with grpc.insecure_channel(target.grpc) as channel:
        yield Stub(channel)


def refused(call: Any, request: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    return raised.value.code(), raised.value.details()


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[:30] for name in NAMES])
def test_a_name_that_nobody_has_is_not_found_in_any_method(stub: Any, name: str) -> None:
    for call, request in (
        (stub.ModelMetadata, pb.ModelMetadataRequest(name=name)),
        (stub.ModelReady, pb.ModelReadyRequest(name=name)),
        (stub.ModelInfer, pb.ModelInferRequest(model_name=name)),
        (stub.ModelConfig, pb.ModelConfigRequest(name=name)),
        (stub.ModelStatistics, pb.ModelStatisticsRequest(name=name or "absent")),  # none is all of them
        (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name=name)),
        (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=name)),
    ):
        code, sentence = refused(call, request)
        assert code == Code.NOT_FOUND
        assert sentence.startswith("no model '")
        assert sentence.endswith("' here; /v2/models lists the models")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_is_not_served_is_not_found(stub: Any, version: str) -> None:
    for call, request in (
        (stub.ModelMetadata, pb.ModelMetadataRequest(name="churn", version=version)),
        (stub.ModelReady, pb.ModelReadyRequest(name="churn", version=version)),
        (stub.ModelInfer, pb.ModelInferRequest(model_name="churn", model_version=version)),
        (stub.ModelConfig, pb.ModelConfigRequest(name="churn", version=version)),
        (stub.ModelStatistics, pb.ModelStatisticsRequest(name="churn", version=version)),
    ):
        assert refused(call, request) == (Code.NOT_FOUND, f"model 'churn' has no version '{version}' here; served is v1.2.3")


def test_nothing_of_this_was_a_defect(target: Target) -> None:
    said = target.log.read_text() if target.log else ""

    assert "call_failed" not in said
    assert "Traceback" not in said


def test_configuration_and_statistics_are_https(target: Target, stub: Any) -> None:
    from google.protobuf.json_format import MessageToDict

    urllib3.request("POST", f"{target.url}/v1/models/churn:predict", json={"instances": ROWS})
    urllib3.request("POST", f"{target.url}/v1/models/churn:predict", json={"instances": [1]})
    config = urllib3.request("GET", f"{target.url}/v2/models/churn/config").json()
    told = MessageToDict(stub.ModelConfig(pb.ModelConfigRequest(name="churn")).config, preserving_proto_field_name=True)
    counted = urllib3.request("GET", f"{target.url}/v2/models/churn/stats").json()["model_stats"][0]
    (one,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="churn")).model_stats
    (every,) = stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats

    assert (told["name"], told["platform"], told["backend"], told["max_batch_size"]) == (
        "churn", "onnxruntime_onnx", "onnxruntime", config["max_batch_size"],
    )  # fmt: skip
    for side in ("input", "output"):
        own = [{**tensor, "dims": [str(size) for size in tensor["dims"]]} for tensor in config[side]]
        assert told[side] == own
    assert (one.name, one.version, one.last_inference) == ("churn", "v1.2.3", counted["last_inference"])
    assert (one.inference_count, one.execution_count) == (counted["inference_count"], counted["execution_count"])
    assert one == every
    for part in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        duration = getattr(one.inference_stats, part)
        assert {"count": duration.count, "ns": duration.ns} == counted["inference_stats"][part]


def test_statistics_count_each_part_of_an_answered_request(target: Target) -> None:
    def counted() -> dict[str, Any]:
        found: dict[str, Any] = urllib3.request("GET", f"{target.url}/v2/models/churn/stats").json()["model_stats"][0]
        return found

    before = counted()
    for _ in range(3):
        assert urllib3.request("POST", f"{target.url}/v1/models/churn:predict", json={"instances": ROWS}).status == 200
    assert urllib3.request("POST", f"{target.url}/v1/models/churn:predict", json={"instances": [1]}).status == 400
    after = counted()

    def grown(part: str, what: str = "count") -> int:
        return int(after["inference_stats"][part][what] - before["inference_stats"][part][what])

    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert {part: grown(part) for part in ("success", "fail", *parts)} == {
        "success": 3, "fail": 1, "queue": 3, "compute_input": 3, "compute_infer": 3, "compute_output": 3,
    }  # fmt: skip
    assert all(grown(part, "ns") > 0 for part in ("success", "fail", *parts))
    assert abs(sum(grown(part, "ns") for part in parts) - grown("success", "ns")) < 1000
    assert after["inference_count"] - before["inference_count"] == 3 * len(ROWS)
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["last_inference"] > before["last_inference"]


class TestRepository:
    """Load and unload take the same parameters in both protocols, and refuse the same."""

    @pytest.fixture
    def stub(self, repository: Target) -> Iterator[Any]:
        with grpc.insecure_channel(repository.grpc) as channel:
            yield Stub(channel)

    @staticmethod
    def request(kind: str = "Load", name: str = "other", **parameters: Any) -> Any:
        made = getattr(pb, f"RepositoryModel{kind}Request")(model_name=name)
        for key, value in parameters.items():
            field = {bool: "bool_param", int: "int64_param", str: "string_param", bytes: "bytes_param"}[type(value)]
            setattr(made.parameters[key], field, value)
        return made

    @pytest.mark.parametrize(
        ("kind", "parameters", "code", "sentence"),
        [
            ("Load", {"config": "{}"}, "INVALID_ARGUMENT",
             "parameter 'config' is not taken: a model is loaded as it stands in the repository"),
            ("Load", {"file:1/model.onnx": b"\xff"}, "INVALID_ARGUMENT",
             "parameter 'file:1/model.onnx' is not taken: a model is loaded as it stands in the repository"),
            ("Load", {"version": "v9.9.9"}, "NOT_FOUND", "model 'other' has no version 'v9.9.9' here; served is v1.2.0"),
            ("Load", {"version": "../v1.0.0"}, "INVALID_ARGUMENT",
             "parameter 'version' is '../v1.0.0'; expected a version of the model, such as 'v1.0.0'"),
            ("Load", {"version": 1}, "INVALID_ARGUMENT",
             "parameter 'version' is 1; expected a version of the model, such as 'v1.0.0'"),
            ("Load", {"stage": "yes"}, "INVALID_ARGUMENT", "'stage' is 'yes'; expected true or false"),
            ("Load", {"versoin": "v1.0.0"}, "INVALID_ARGUMENT",
             "parameter 'versoin' is not taken: load takes version and stage"),
            ("Unload", {"staged": 1}, "INVALID_ARGUMENT", "'staged' is 1; expected true or false"),
            ("Unload", {"version": "v1.0.0"}, "INVALID_ARGUMENT",
             "parameter 'version' is not taken: unload takes staged and unload_dependents"),
        ],
    )  # fmt: skip
    def test_refused(
        self, repository: Target, stub: Any, kind: str, parameters: dict[str, Any], code: str, sentence: str
    ) -> None:
        found = refused(getattr(stub, f"RepositoryModel{kind}"), self.request(kind, **parameters))
        plain = {key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in parameters.items()}
        path = f"{repository.url}/v2/repository/models/other/{kind.lower()}"
        told = urllib3.request("POST", path, body=json.dumps({"parameters": plain}))

        assert found == (Code[code], sentence)
        assert (told.status, told.json()) == ({"INVALID_ARGUMENT": 400, "NOT_FOUND": 404}[code], {"error": sentence})

    def test_version_and_stage_are_honoured(self, repository: Target, stub: Any) -> None:
        def served(version: str = "") -> list[str]:
            return list(stub.ModelMetadata(pb.ModelMetadataRequest(name="other", version=version)).versions)

        stub.RepositoryModelLoad(self.request(version="v1.0.0", stage=True))
        assert (served(), served("v1.0.0")) == (["v1.2.0"], ["v1.0.0"])
        stub.RepositoryModelUnload(self.request("Unload", staged=True))
        assert refused(stub.ModelMetadata, pb.ModelMetadataRequest(name="other", version="v1.0.0"))[0] == Code.NOT_FOUND
        stub.RepositoryModelLoad(self.request(version="v1.0.0"))
        assert served() == ["v1.0.0"]
        assert refused(stub.RepositoryModelLoad, self.request(version="v9.0.0")) == (
            Code.NOT_FOUND, "model 'other' has no version 'v9.0.0' here; served is v1.0.0",
        )  # fmt: skip
        stub.RepositoryModelUnload(self.request("Unload", unload_dependents=True))
        assert refused(stub.RepositoryModelLoad, self.request(version="v9.0.0")) == (
            Code.NOT_FOUND, "model 'other' has no version 'v9.0.0' here",
        )  # fmt: skip
        stub.RepositoryModelLoad(self.request())
        assert served() == ["v1.2.0"]

    def test_there_is_one_repository(self, stub: Any) -> None:
        sentence = "repository_name is not taken: this server has one repository"
        for call, request in (
            (stub.RepositoryIndex, pb.RepositoryIndexRequest(repository_name="a")),
            (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(repository_name="a", model_name="other")),
            (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(repository_name="a", model_name="other")),
        ):
            assert refused(call, request) == (Code.INVALID_ARGUMENT, sentence)

    def test_what_cannot_be_loaded_says_no_path(self, repository: Target, stub: Any) -> None:
        code, sentence = refused(stub.RepositoryModelLoad, self.request(name="broken"))
        told = urllib3.request("POST", f"{repository.url}/v2/repository/models/broken/load")
        index = urllib3.request("GET", f"{repository.url}/v2/repository/index").data.decode()

        assert code == Code.INVALID_ARGUMENT
        assert sentence.startswith("model 'broken' was not loaded: ")
        assert told.json() == {"error": sentence}
        for text in (sentence, index):
            assert "/" not in text.replace("s3://BUCKET", "")
        assert "broken/v1.0.0" in (repository.log.read_text() if repository.log else "")


SHARED_MEMORY = r"'shared_memory_.*' is not taken: tensors are sent and answered, not shared"


@pytest.mark.parametrize("where", ["input", "output", "request"])
@pytest.mark.parametrize("binary", [True, False])
def test_shared_memory_is_refused_wherever_it_is_named(target: Target, where: str, binary: bool) -> None:
    inputs = [http.InferInput("charges", [1, 1], "FP32"), http.InferInput("note", [1, 1], "BYTES")]
    inputs[0].set_data_from_numpy(np.array([[1]], np.float32))
    inputs[1].set_data_from_numpy(np.array([[b"a"]], object))
    output = http.InferRequestedOutput("probabilities", binary_data=binary)
    parameters = {}
    if where == "input":
        inputs[0].set_shared_memory("region", 4, 8)
    elif where == "output":
        output.set_shared_memory("region", 8)
    else:
        parameters = {"parameters": {"shared_memory_region": "region"}}
    client = http.InferenceServerClient(target.host)
    with pytest.raises(Exception, match=SHARED_MEMORY):
        client.infer("churn", inputs, outputs=[output], **parameters)
    client.close()


@pytest.mark.parametrize("where", ["input", "output", "request"])
def test_shared_memory_is_refused_by_grpc_wherever_it_is_named(stub: Any, where: str) -> None:
    request = pb.ModelInferRequest(model_name="churn")
    request.inputs.add(name="charges", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1)
    request.inputs.add(name="note", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"a")
    request.outputs.add(name="probabilities")
    named = {"input": request.inputs[0], "output": request.outputs[0], "request": request}[where]
    named.parameters["shared_memory_region"].string_param = "region"
    named.parameters["shared_memory_byte_size"].int64_param = 8

    code, sentence = refused(stub.ModelInfer, request)
    assert code == Code.INVALID_ARGUMENT
    assert re.search(SHARED_MEMORY, sentence)


def test_shared_memory_is_refused_beside_data(target: Target) -> None:
    shared = {"shared_memory_region": "a", "shared_memory_byte_size": 4}
    inputs = [{"name": "charges", "datatype": "FP32", "shape": [1], "data": [1.0], "parameters": shared},
              {"name": "note", "datatype": "BYTES", "shape": [1], "data": ["a"]}]  # fmt: skip
    told = urllib3.request("POST", f"{target.url}/v2/models/churn/infer", json={"inputs": inputs})

    sentence = "input 'charges': parameter 'shared_memory_region' is not taken: tensors are sent and answered, not shared"
    assert (told.status, told.json()) == (400, {"error": sentence})

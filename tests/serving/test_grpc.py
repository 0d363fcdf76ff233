"""V2 over gRPC with KServe's client: the same model, the same sentences, the same deadlines as over HTTP.

The target is a process of ours; STAGEWRIGHT_CONFORMANCE_ADDRESS and STAGEWRIGHT_CONFORMANCE_GRPC point elsewhere.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import urllib3
from support import onnx_models
from support.mixed_rows import FEEDS, ROWS
from support.onnx_models import direct
from support.targets import ADDRESS, VERSION, Target, process, target

grpc = pytest.importorskip("grpc")
kserve = pytest.importorskip("kserve")
infer_type = pytest.importorskip("kserve.protocol.infer_type")
pb = pytest.importorskip("kserve.protocol.grpc.grpc_predict_v2_pb2")

Code = grpc.StatusCode
KEPT = [0, 2, 3]  # rows without a missing value
VALUES: dict[str, tuple[str, list[Any]]] = {
    "tenure": ("FP32", [12, 1.5, 72]),
    "charges": ("FP64", [70.35, 99.9, 0.1]),
    "contract": ("BYTES", ["One year", "1", "true"]),
    "senior": ("BOOL", [True, False, True]),
    "since": ("BYTES", [ROWS[row]["since"] for row in KEPT]),
    "note": ("BYTES", [ROWS[row]["note"] for row in KEPT]),
}
ELSEWHERE = pytest.mark.skipif(ADDRESS in os.environ, reason=f"takes the model away from others: not where {ADDRESS} points")


@pytest.fixture(scope="module")
def churn(models: dict[str, Path]) -> Iterator[Target]:
    with target(models["mixed"], "churn", "--grpc-port", "0") as running:
        if not running.grpc:
            pytest.skip("the target offers no gRPC")
        yield running


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> dict[str, np.ndarray]:
    return direct(models["mixed"], {name: feed[KEPT] for name, feed in FEEDS.items()})


@pytest_asyncio.fixture
async def client(churn: Target) -> AsyncIterator[Any]:
    async with kserve.InferenceGRPCClient(churn.grpc, timeout=20) as opened:
        yield opened


@pytest_asyncio.fixture
async def stub(churn: Target) -> AsyncIterator[Any]:
    """KServe's generated stub, for what its client has no method for."""
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    async with grpc.aio.insecure_channel(churn.grpc) as channel:
        yield GRPCInferenceServiceStub(channel)


def inputs(*, raw: bool) -> list[Any]:
    tensors = []
    for name, (datatype, values) in VALUES.items():
        tensor = infer_type.InferInput(name, [len(KEPT), 1], datatype)
        dtype = {"FP32": np.float32, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}[datatype]
        tensor.set_data_from_numpy(np.array(values, dtype).reshape(-1, 1), binary_data=raw)
        tensors.append(tensor)
    return tensors


def message(*, raw: bool = False, **changed: Any) -> Any:
    """A request as KServe's message."""
    return infer_type.InferRequest("churn", inputs(raw=raw), **changed).to_grpc()


class TestKServesClient:
    """What `InferenceGRPCClient` offers."""

    async def test_health(self, client: Any) -> None:
        assert await client.is_server_live() is True
        assert await client.is_server_ready() is True
        assert await client.is_model_ready("churn") is True
        with pytest.raises(grpc.RpcError) as raised:
            await client.is_model_ready("absent")
        assert raised.value.code() == Code.NOT_FOUND
        assert raised.value.details().startswith("no model 'absent' here")

    @pytest.mark.parametrize("raw", [False, True])
    @pytest.mark.parametrize("identity", [None, "r-7"])
    async def test_infer(self, client: Any, expected: dict[str, np.ndarray], raw: bool, identity: str | None) -> None:
        answer = await client.infer(infer_type.InferRequest("churn", inputs(raw=raw), request_id=identity))

        assert (answer.id, answer.model_name, answer.model_version) == (identity or "", "churn", VERSION)
        label, probabilities = answer.outputs
        assert [one.decode() for one in label.as_numpy().ravel().tolist()] == expected["label"].tolist()
        np.testing.assert_array_equal(np.float32(probabilities.as_numpy()), expected["probabilities"])


class TestProtocol:
    """What only the messages show."""

    async def test_raw_inputs_are_answered_raw_and_typed_ones_typed(self, stub: Any, expected: dict[str, np.ndarray]) -> None:
        raw, typed = await stub.ModelInfer(message(raw=True)), await stub.ModelInfer(message())

        assert [(one.name, one.datatype, list(one.shape)) for one in raw.outputs] == [
            ("label", "BYTES", [3]), ("probabilities", "FP32", [3, 2]),
        ]  # fmt: skip
        assert not any(one.HasField("contents") for one in raw.outputs)
        assert raw.raw_output_contents[1] == expected["probabilities"].tobytes()
        assert not typed.raw_output_contents
        assert list(typed.outputs[0].contents.bytes_contents) == [one.encode() for one in expected["label"]]
        assert list(typed.outputs[1].contents.fp32_contents) == expected["probabilities"].ravel().tolist()

    async def test_requested_outputs_and_version(self, stub: Any) -> None:
        wanted = [infer_type.RequestedOutput("probabilities")]

        answer = await stub.ModelInfer(message(request_outputs=wanted, model_version=VERSION))

        assert [one.name for one in answer.outputs] == ["probabilities"]

    async def test_every_number_type(self, stub: Any) -> None:
        """A tensor of whole numbers means the same in every datatype, typed and raw."""
        fields = {"INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT16": "uint",
                  "UINT32": "uint", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64"}  # fmt: skip
        answers = set()
        for datatype, field in fields.items():
            dtype = onnx_dtype(datatype)
            request = message()
            request.inputs[0].datatype = datatype
            request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**{f"{field}_contents": [3, 100, 7]}))
            answers.add((await stub.ModelInfer(request)).outputs[1].SerializeToString())
            raw = message(raw=True)
            raw.inputs[0].datatype = datatype
            raw.raw_input_contents[0] = np.array([3, 100, 7], dtype).tobytes()
            floats = (await stub.ModelInfer(raw)).raw_output_contents[1]
            answers.add(
                pb.ModelInferResponse.InferOutputTensor(
                    name="probabilities", datatype="FP32", shape=[3, 2],
                    contents=pb.InferTensorContents(fp32_contents=np.frombuffer(floats, np.float32).tolist()),
                ).SerializeToString()
            )  # fmt: skip
        assert len(answers) == 1

    async def test_metadata(self, stub: Any, churn: Target) -> None:
        server = await stub.ServerMetadata(pb.ServerMetadataRequest())
        model = await stub.ModelMetadata(pb.ModelMetadataRequest(name="churn", version=VERSION))

        http = urllib3.request("GET", f"{churn.url}/v2/models/churn").json()
        assert server.name == "stagewright"
        assert "binary_tensor_data" in server.extensions
        assert (model.name, list(model.versions), model.platform) == ("churn", [VERSION], http["platform"])
        for side in ("inputs", "outputs"):
            got = [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in getattr(model, side)]
            assert got == http[side]

    async def test_classification(self, stub: Any) -> None:
        wanted = [infer_type.RequestedOutput("probabilities", {"classification": 1})]

        answer = await stub.ModelInfer(message(request_outputs=wanted))

        best = [one.decode().split(":") for one in answer.outputs[0].contents.bytes_contents]
        assert len(best) == len(KEPT)
        assert [label for *_, label in best] == [("No", "Yes")[int(index)] for _, index, _ in best]


def changed(field: str, value: Any) -> Any:
    """A request whose first tensor has one field changed."""
    request = message()
    if field == "shape":
        del request.inputs[0].shape[:]
        request.inputs[0].shape.extend(value)
    elif field == "contents":
        request.inputs[0].contents.CopyFrom(value)
    else:
        setattr(request.inputs[0], field, value)
    return request


def raw_changed(position: int, value: bytes | None) -> Any:
    request = message(raw=True)
    if value is None:
        del request.raw_input_contents[position]
    else:
        request.raw_input_contents[position] = value
    return request


ERRORS = [
    (lambda: message(model_version="v9"), Code.NOT_FOUND, "model 'churn' has no version 'v9' here; served is v1.2.3"),
    (lambda: changed("name", "tenur"), Code.INVALID_ARGUMENT,
     "the model has no input 'tenur' (did you mean 'tenure'?)"),
    (lambda: changed("datatype", "FP128"), Code.INVALID_ARGUMENT, "input 'tenure': datatype 'FP128' is not supported"),
    (lambda: changed("datatype", "FP16"), Code.INVALID_ARGUMENT,
     "input 'tenure': datatype FP16 has no typed contents; send it in raw_input_contents"),
    (lambda: changed("datatype", "FP64"), Code.INVALID_ARGUMENT,
     "input 'tenure': shape [3, 1] needs 3 values in fp64_contents, got 0"),
    (lambda: changed("shape", [-3, 1]), Code.INVALID_ARGUMENT, "input 'tenure': 'shape' must be a list of sizes such as"),
    (lambda: changed("shape", [2, 1]), Code.INVALID_ARGUMENT,
     "input 'tenure': shape [2, 1] needs 2 values in fp32_contents, got 3"),
    (lambda: changed("shape", []), Code.INVALID_ARGUMENT, "input 'tenure': "),
    (lambda: changed("shape", [2**62, 2**62]), Code.INVALID_ARGUMENT, "input 'tenure': shape ["),
    (lambda: raw_changed(0, b"123"), Code.INVALID_ARGUMENT, "input 'tenure': binary_data_size is 3, but shape [3, 1] of FP32"),
    (lambda: raw_changed(2, b"\xff\xff\xff\xff"), Code.INVALID_ARGUMENT, "input 'contract': element 0 of the binary data runs"),
    (lambda: raw_changed(5, None), Code.INVALID_ARGUMENT,
     "raw_input_contents has 5 tensors for 6 inputs; send one each, or none"),
    (lambda: pb.ModelInferRequest(model_name="churn"), Code.INVALID_ARGUMENT, "'inputs' must be a list of at least one tensor"),
    (lambda: pb.ModelInferRequest(model_name=""), Code.NOT_FOUND, "no model '' here; /v2/models lists the models"),
    (lambda: pb.ModelInferRequest(model_name="../../metrics"), Code.NOT_FOUND,
     "no model '../../metrics' here; /v2/models lists the models"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code", "sentence"), ERRORS, ids=[sentence[:60] for *_, sentence in ERRORS])
async def test_mistakes_have_a_code_and_a_sentence(stub: Any, make: Any, code: Any, sentence: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        await stub.ModelInfer(make())
    assert raised.value.code() == code
    assert raised.value.details().startswith(sentence)


async def test_integers_that_do_not_fit_their_datatype(stub: Any) -> None:
    request = message()
    request.inputs[0].datatype = "INT8"
    request.inputs[0].contents.CopyFrom(pb.InferTensorContents(int_contents=[1, 300, 2]))

    with pytest.raises(grpc.RpcError) as raised:
        await stub.ModelInfer(request)
    assert raised.value.details() == "input 'tenure': value 1 is 300, which does not fit INT8 (-128 to 127)"


async def test_contents_beside_raw_contents(stub: Any) -> None:
    request = message()
    request.raw_input_contents.extend([b""] * len(request.inputs))

    with pytest.raises(grpc.RpcError, match="input 'tenure': has both contents and raw_input_contents"):
        await stub.ModelInfer(request)


@ELSEWHERE
async def test_unload_and_load(stub: Any, churn: Target) -> None:
    gone = await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="churn"))

    assert (gone.model_name, gone.isUnloaded) == ("churn", True)
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="churn"))).ready is False
    with pytest.raises(grpc.RpcError) as raised:
        await stub.ModelInfer(message())
    assert raised.value.code() in (Code.NOT_FOUND, Code.UNAVAILABLE)

    back = await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="churn"))

    assert (back.model_name, back.isLoaded) == ("churn", True)
    assert (await stub.ModelInfer(message())).model_name == "churn"
    with pytest.raises(grpc.RpcError, match="absent"):
        await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="absent"))


async def test_many_calls_at_once_beside_http(stub: Any, churn: Target) -> None:

    answers = await asyncio.gather(*(stub.ModelInfer(message(raw=at % 2 > 0, request_id=str(at))) for at in range(100)))

    assert [answer.id for answer in answers] == [str(at) for at in range(100)]
    assert urllib3.request("GET", f"{churn.url}/v2/health/live").status == 200


TRITON = """
import sys
import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("churn")
assert client.get_server_metadata().name == "stagewright"
assert [one.name for one in client.get_model_metadata("churn").outputs] == ["label", "probabilities"]
values = {"charges": np.array([[70.35]], np.float64), "note": np.array([["calm"]], object)}
inputs = []
for name, value in values.items():
    tensor = triton.InferInput(name, [1, 1], "FP64" if name == "charges" else "BYTES")
    tensor.set_data_from_numpy(value)
    inputs.append(tensor)
for answer in (client.infer("churn", inputs, request_id="t-1", client_timeout=20),
               client.infer("churn", inputs, request_id="t-1", parameters={"double": 0.5})):
    assert answer.get_response().id == "t-1"
    assert answer.as_numpy("probabilities").shape == (1, 2)
best = client.infer("churn", inputs, outputs=[triton.InferRequestedOutput("probabilities", class_count=1)])
print(best.as_numpy("probabilities").shape)
"""
TRITON_REPOSITORY = """
assert [(one.name, one.state) for one in client.get_model_repository_index().models] == [("churn", "READY")]
client.unload_model("churn")
assert not client.is_model_ready("churn")
client.load_model("churn")
assert client.is_model_ready("churn")
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(TRITON, id="infer"),
        pytest.param(TRITON[: TRITON.index("values =")] + TRITON_REPOSITORY, id="repository", marks=ELSEWHERE),
    ],
)
def test_tritons_client(churn: Target, code: str) -> None:
    """In a process of its own: KServe's and Triton's generated modules refuse to live in one."""
    pytest.importorskip("tritonclient")
    ended = subprocess.run([sys.executable, "-c", code, churn.grpc], capture_output=True, text=True, timeout=60, check=False)
    if "No module named" in ended.stderr:
        pytest.skip("tritonclient is installed without gRPC")

    assert ended.returncode == 0, ended.stderr


def test_the_descriptor_is_up_to_date() -> None:
    pytest.importorskip("grpc_tools")
    from stagewright.components.predictor.grpc import generate as grpc_generate

    assert grpc_generate.GENERATED.read_text() == grpc_generate.generate()


def test_the_messages_are_those_of_kserve() -> None:
    """Field by field: number, type, label. KServe's own messages live beside ours in this process."""
    from stagewright.components.predictor.grpc import messages as grpc_messages

    renamed = {"model_or_repository_name": "model_name", "is_loaded": "isLoaded", "is_unloaded": "isUnloaded"}
    for name, theirs in pb.DESCRIPTOR.message_types_by_name.items():
        ours = grpc_messages.message(name).DESCRIPTOR
        numbers = {field.number: field for field in ours.fields}
        for field in theirs.fields:
            own = numbers[field.number]
            assert (renamed.get(own.name, own.name), own.type, own.is_repeated) == (field.name, field.type, field.is_repeated)
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
    tritons = {"RepositoryIndex", "ModelConfig", "ModelStatistics"}
    assert {method.name for method in grpc_messages.service.methods} == methods | tritons


@pytest.mark.parametrize("package", ["kserve.protocol.grpc.grpc_predict_v2_pb2", "tritonclient.grpc.service_pb2"])
@pytest.mark.parametrize("first", [True, False])
def test_clients_modules_can_be_imported_beside_ours(package: str, first: bool) -> None:
    pytest.importorskip(package.partition(".")[0])
    modules = [package, "stagewright.components.predictor.grpc.service"]
    code = "".join(f"import {one}\n" for one in (modules if first else modules[::-1]))

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False).stderr == ""


def test_http_alone_imports_no_grpc() -> None:
    code = (
        "import sys, stagewright.components.predictor.server\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('grpc', 'google')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout == "[]\n"


def refused(*arguments: str, prelude: str = "") -> tuple[int, str]:
    module = "stagewright.components.predictor.__main__"
    code = f"{prelude}\nimport sys\nfrom {module} import main\nsys.exit(main(sys.argv[1:]))"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


def test_a_missing_package_is_one_sentence(models: dict[str, Path]) -> None:
    absent = "import sys\nsys.modules['grpc'] = None"

    assert refused("--port=0", "--grpc-port=0", "--name=churn", "--model", str(models["mixed"]), prelude=absent) == (
        2, "--grpc-port needs the package grpcio, which is not installed; install it or leave the option out\n",
    )  # fmt: skip


@pytest.mark.parametrize("port", ["http", "70000"])
def test_a_bad_port(port: str) -> None:
    code, said = refused("--grpc-port", port, "--model", ".")

    assert code == 2
    assert said.startswith("parameter 'grpc-port' is ")


def test_a_port_that_is_taken(churn: Target, models: dict[str, Path]) -> None:
    port = churn.grpc.rpartition(":")[2]

    code, said = refused("--host=127.0.0.1", "--port=0", "--grpc-port", port, "--name=churn", "--model", str(models["mixed"]))

    assert (code, said) == (
        2, f"port {port} is taken on 127.0.0.1; end what listens there or choose another with --grpc-port\n",
    )  # fmt: skip


async def test_workers_share_the_port(models: dict[str, Path]) -> None:
    with process(models["mixed"], "churn", "--grpc-port", "0", "--workers", "2") as running:
        for _ in range(6):  # each channel is a connection, which one of the workers takes
            async with kserve.InferenceGRPCClient(
                running.grpc, channel_args=[("grpc.use_local_subchannel_pool", 1)], retries=5, timeout=20
            ) as client:
                answer = await ready(client)
                assert answer.model_name == "churn"


async def ready(client: Any) -> Any:
    deadline = time.monotonic() + 20
    while True:
        try:
            return await client.infer(infer_type.InferRequest("churn", inputs(raw=True)))
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise


async def test_deadlines_and_an_end_that_finishes_what_was_begun(tmp_path: Path) -> None:

    tensor = infer_type.InferInput("x", [1, 1], "FP32", data=[5.0])
    folder = onnx_models.write_slow(tmp_path / "slow", repeats=8)
    with process(folder, "slow", "--grpc-port", "0", "--threads", "1") as running:
        async with kserve.InferenceGRPCClient(running.grpc, timeout=30, retries=0) as client:
            with pytest.raises(grpc.RpcError) as raised:
                await client.infer(infer_type.InferRequest("slow", [tensor]), timeout=0.1)
            assert raised.value.code() == Code.DEADLINE_EXCEEDED

            call = asyncio.create_task(client.infer(infer_type.InferRequest("slow", [tensor])))
            for _ in range(500):
                if "stagewright_requests_in_flight 2.0" in urllib3.request("GET", f"{running.url}/metrics").data.decode():
                    break
                await asyncio.sleep(0.01)
            os.kill(running.pid, signal.SIGTERM)

            assert (await call).outputs[0].data == [5.0]


def onnx_dtype(datatype: str) -> np.dtype[Any]:
    from stagewright.components.predictor.wire.tensors import NUMPY

    return NUMPY[datatype]


def test_the_start_is_announced_with_both_ports(churn: Target) -> None:
    if not churn.announced:
        pytest.skip("not a process of ours")
    assert json.loads(json.dumps(churn.announced))["grpc_port"] != churn.announced["port"]


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    """The service in this process, around an application whose queue holds one request."""

    from stagewright.components.predictor import model_source
    from stagewright.components.predictor.grpc.server import WithGrpc, reserve
    from stagewright.components.predictor.http.app import Application, Limits
    from stagewright.components.predictor.inference.model import OnnxModel
    from stagewright.components.predictor.wire.limits import Bounds, ConnectionLimits

    application = Application("slow", limits=Limits(bounds=Bounds(queue_requests=1)), workers=1)
    folder = onnx_models.write_slow(tmp_path / "slow", repeats=4)
    application.models.serve(OnnxModel.load(model_source.read(str(folder)), "slow"))
    with reserve("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        serving = WithGrpc(application, "127.0.0.1", port, message_bytes=1 << 20, limits=ConnectionLimits())
        events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        said: asyncio.Queue[Any] = asyncio.Queue()
        life = asyncio.create_task(serving({"type": "lifespan"}, events.get, said.put))
        await events.put({"type": "lifespan.startup"})
        assert await said.get() == {"type": "lifespan.startup.complete"}
        async with kserve.InferenceGRPCClient(f"127.0.0.1:{port}", retries=0, timeout=20) as client:
            request = infer_type.InferRequest("slow", [infer_type.InferInput("x", [1, 1], "FP32", data=[5.0])])
            answers = await asyncio.gather(*(client.infer(request) for _ in range(8)), return_exceptions=True)
        await events.put({"type": "lifespan.shutdown"})
        await life

    refused = [one for one in answers if isinstance(one, grpc.RpcError)]
    assert 0 < len(refused) < len(answers)
    assert {one.code() for one in refused} == {Code.RESOURCE_EXHAUSTED}
    assert all(int(dict(one.trailing_metadata())["retry-after"]) >= 1 for one in refused)

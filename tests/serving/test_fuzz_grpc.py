"""gRPC under random messages and bytes: a refusal with a code that names the caller's mistake, and a good answer afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.targets import Target, process

grpc = pytest.importorskip("grpc")
from stagewright.components.predictor.grpc import messages as pb  # noqa: E402

Code = grpc.StatusCode
QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SERVICE = "/inference.GRPCInferenceService"
NAMES = ("tenure", "charges", "contract", "senior", "since", "note")


@pytest.fixture(scope="module")
def target(models: dict[str, Path]) -> Iterator[Target]:
    with process(models["mixed"], "churn", "--grpc-port", "0", "--max-body-mb", "4") as running:
        yield running
        said = running.log.read_text() if running.log else ""
        assert "Traceback" not in said
        assert "call_failed" not in said
        assert "request_failed" not in said


@pytest.fixture(scope="module")
def channel(target: Target) -> Iterator[Any]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(target.grpc, options=options) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _it_answers_well_afterwards(channel: Any) -> Iterator[None]:
    yield
    good = pb.ModelInferRequest(model_name="churn")
    good.inputs.add(name="charges", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.0)
    good.inputs.add(name="note", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a")
    code, answer = call(channel, "ModelInfer", good.SerializeToString())
    assert code == Code.OK
    assert len(pb.ModelInferResponse.FromString(answer).outputs) == 2


def call(channel: Any, method: str, request: bytes) -> tuple[Any, bytes]:
    """The code and the answer, or the sentence."""
    try:
        return Code.OK, channel.unary_unary(f"{SERVICE}/{method}")(request, timeout=20)
    except grpc.RpcError as error:
        return error.code(), error.details().encode()


parameters = st.dictionaries(
    st.sampled_from(["classification", "binary_data", "binary_data_size", "timeout", "priority", "a"]),
    st.one_of(
        st.booleans().map(lambda value: {"bool_param": value}),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: {"int64_param": value}),
        st.text(max_size=5).map(lambda value: {"string_param": value}),
        st.floats().map(lambda value: {"double_param": value}),
        st.just({}),
    ),
    max_size=2,
)
contents = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=3),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "fp64_contents": st.lists(st.floats(), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=6), max_size=3),
    },
)
tensors = st.fixed_dictionaries(
    {
        "name": st.one_of(st.sampled_from(NAMES), st.text(max_size=4)),
        "datatype": st.sampled_from(["BOOL", "INT8", "INT64", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES", "STRING", ""]),
        "shape": st.lists(st.one_of(st.integers(-1, 4), st.just(2**62)), max_size=3),
    },
    optional={"contents": contents, "parameters": parameters},
)
requests = st.fixed_dictionaries(
    {
        "model_name": st.sampled_from(["churn", "churn", "churn", "absent", "", "a/b", "\u202e"]),
        "inputs": st.lists(tensors, max_size=4),
    },
    optional={
        "model_version": st.sampled_from(["", "v1.2.3", "v9", "..", "a/b"]),
        "id": st.text(max_size=5),
        "parameters": parameters,
        "outputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["label", "probabilities", "x"])}, optional={"parameters": parameters}
            ),
            max_size=3,
        ),
        "raw_input_contents": st.lists(st.binary(max_size=12), max_size=4),
    },
)


@QUICK
@given(document=requests)
def test_any_request(channel: Any, document: dict[str, Any]) -> None:
    code, said = call(channel, "ModelInfer", pb.ModelInferRequest(**document).SerializeToString())

    assert code == Code.OK or len(said) < 1000
    assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.DEADLINE_EXCEEDED)


@QUICK
@given(data=st.binary(max_size=100), method=st.sampled_from([method.name for method in pb.service.methods]))
def test_any_bytes(channel: Any, data: bytes, method: str) -> None:
    code, _ = call(channel, method, data)

    assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND)
    if "Load" in method or "Unload" in method:
        call(channel, "RepositoryModelLoad", b"\x0a\x05churn")


@pytest.mark.parametrize("method", ["ModelStreamInfer", "Nothing", "", "../.."])
def test_methods_that_there_are_not(channel: Any, method: str) -> None:
    assert call(channel, method, b"")[0] in (Code.UNIMPLEMENTED, Code.UNKNOWN)


def test_a_message_that_is_too_large(channel: Any) -> None:
    request = pb.ModelInferRequest(model_name="churn", raw_input_contents=[b" " * (5 << 20)])

    assert call(channel, "ModelInfer", request.SerializeToString())[0] == Code.RESOURCE_EXHAUSTED


def test_many_tensors_of_one_name(channel: Any) -> None:
    request = pb.ModelInferRequest(model_name="churn")
    for _ in range(20_000):
        request.inputs.add(name="note", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a")

    assert call(channel, "ModelInfer", request.SerializeToString())[0] == Code.INVALID_ARGUMENT


def test_bytes_that_are_no_grpc(target: Target) -> None:
    from support.raw_http import Connection

    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000, b"\0" * 100_000):
        with Connection(target.grpc) as connection:
            connection.send(data)
            connection.finish()


async def test_calls_that_are_given_up_leave_nothing_behind(target: Target) -> None:
    import asyncio

    import urllib3

    request = pb.ModelInferRequest(model_name="churn")
    request.inputs.add(name="charges", datatype="FP32", shape=[5000]).contents.fp32_contents.extend([1.0] * 5000)
    request.inputs.add(name="note", datatype="BYTES", shape=[5000]).contents.bytes_contents.extend([b"a"] * 5000)
    data = request.SerializeToString()
    async with grpc.aio.insecure_channel(target.grpc) as channel:
        method = channel.unary_unary(f"{SERVICE}/ModelInfer")
        calls = [method(data, timeout=0.001 * (at % 30 + 1)) for at in range(120)]
        for at, one in enumerate(calls):
            if at % 3 == 0:
                await asyncio.sleep(0.002)
                one.cancel()
        ended = await asyncio.gather(*(one.code() for one in calls))

    assert set(ended) <= {Code.OK, Code.CANCELLED, Code.DEADLINE_EXCEEDED}
    for _ in range(200):
        metrics = urllib3.request("GET", f"{target.url}/metrics").data.decode()
        if "stagewright_requests_in_flight 1.0" in metrics:  # this question
            return
        await asyncio.sleep(0.05)
    pytest.fail("calls still count as in flight")

"""KServe's own client against a real server: both REST protocols, JSON and binary.

The target is a process of ours; STAGEWRIGHT_CONFORMANCE_ADDRESS points the same tests to a container or a cluster.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from support.mixed_rows import FEEDS, ROWS
from support.onnx_models import direct
from support.targets import VERSION, Target, target

kserve = pytest.importorskip("kserve")
infer_type = pytest.importorskip("kserve.protocol.infer_type")

V1, V2 = "v1", "v2"
DATATYPES = {"tenure": "FP32", "charges": "FP64", "contract": "BYTES", "senior": "BOOL", "since": "BYTES", "note": "BYTES"}
COMPLETE = [ROWS[0], ROWS[2] | {"contract": "1", "senior": False}, ROWS[3] | {"contract": "true", "senior": True}]


@pytest.fixture(scope="module")
def churn(models: dict[str, Path]) -> Iterator[Target]:
    with target(models["mixed"], "churn") as running:
        yield running


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> dict[str, np.ndarray]:
    """ONNX Runtime's answers for COMPLETE."""
    return direct(models["mixed"], {name: feed[[0, 2, 3]] for name, feed in FEEDS.items()})


def inputs(*, binary: bool) -> list[Any]:
    """COMPLETE as the client's own objects, a tensor for each column."""
    tensors = []
    for name, datatype in DATATYPES.items():
        tensor = infer_type.InferInput(name, [len(COMPLETE), 1], datatype)
        values = [row[name] for row in COMPLETE]
        dtype = {"FP32": np.float32, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}[datatype]
        tensor.set_data_from_numpy(np.array(values, dtype).reshape(-1, 1), binary_data=binary)
        tensors.append(tensor)
    return tensors


def client(protocol: str) -> Any:
    return kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol, retries=0, timeout=20))


class TestRest:
    """What the client offers, in both protocols."""

    @pytest_asyncio.fixture
    async def v1(self) -> AsyncIterator[Any]:
        async with client(V1) as opened:
            yield opened

    @pytest_asyncio.fixture
    async def v2(self) -> AsyncIterator[Any]:
        async with client(V2) as opened:
            yield opened

    async def test_health(self, churn: Target, v1: Any, v2: Any) -> None:
        assert await v1.is_server_live(churn.url) is True
        assert await v2.is_server_live(churn.url) is True
        assert await v2.is_server_ready(churn.url) is True
        for opened in (v1, v2):
            assert await opened.is_model_ready(churn.url, churn.model) is True

    async def test_a_model_that_is_not_there_is_not_ready(self, churn: Target, v1: Any, v2: Any) -> None:
        assert await v2.is_model_ready(churn.url, "absent") is False
        with pytest.raises(httpx.HTTPStatusError, match="no model 'absent' here") as raised:
            await v1.is_model_ready(churn.url, "absent")
        assert raised.value.response.status_code == 404

    async def test_v1_predicts(self, churn: Target, v1: Any, expected: dict[str, np.ndarray]) -> None:
        for instances in (COMPLETE, [[row[name] for name in DATATYPES] for row in COMPLETE]):
            answer = await v1.infer(churn.url, {"instances": instances}, model_name=churn.model)

            assert answer["predictions"] == expected["label"].tolist()
            np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-6)

    @pytest.mark.parametrize("binary_out", [False, True])
    @pytest.mark.parametrize("binary_in", [False, True])
    async def test_v2_infers(
        self, churn: Target, v2: Any, expected: dict[str, np.ndarray], binary_in: bool, binary_out: bool
    ) -> None:
        request = infer_type.InferRequest(
            churn.model, inputs(binary=binary_in), request_id="r-7", parameters={"binary_data_output": binary_out}
        )

        answer = await v2.infer(churn.url, request, model_name=churn.model)

        assert (answer.id, answer.model_name) == ("r-7", churn.model)
        assert [output.name for output in answer.outputs] == ["label", "probabilities"]
        assert text(answer.get_output_by_name("label").as_numpy()) == expected["label"].tolist()
        np.testing.assert_allclose(answer.get_output_by_name("probabilities").as_numpy(), expected["probabilities"], atol=1e-6)

    async def test_v2_without_an_id(self, churn: Target, v2: Any) -> None:
        """KServe's own server answers such a request with 500 when the model echoes the id."""
        plain = infer_type.InferRequest(churn.model, inputs(binary=False)).to_rest()[0]
        del plain["id"]

        assert (await v2.infer(churn.url, plain, model_name=churn.model)).id is None

    async def test_v2_requested_outputs(self, churn: Target, v2: Any, expected: dict[str, np.ndarray]) -> None:
        wanted = [infer_type.RequestedOutput("probabilities", {"binary_data": True}), infer_type.RequestedOutput("label")]
        request = infer_type.InferRequest(churn.model, inputs(binary=False), request_outputs=wanted)

        answer = await v2.infer(churn.url, request, model_name=churn.model)

        assert [output.name for output in answer.outputs] == ["probabilities", "label"]
        np.testing.assert_array_equal(np.float32(answer.outputs[0].as_numpy()).reshape(-1, 2), expected["probabilities"])
        assert answer.outputs[1].data == expected["label"].tolist()

    async def test_headers_come_back(self, churn: Target, v2: Any) -> None:
        headers: dict[str, str] = {}

        await v2.infer(
            churn.url, infer_type.InferRequest(churn.model, inputs(binary=False)), model_name=churn.model,
            headers={"x-request-id": "1"}, response_headers=headers,
        )  # fmt: skip

        assert headers["content-type"] == "application/json"

    async def test_mistakes_are_sentences(self, churn: Target, v1: Any, v2: Any) -> None:
        with pytest.raises(httpx.HTTPStatusError, match="'expensive' is not a number, '400 Bad Request'"):
            await v1.infer(churn.url, {"instances": [ROWS[0] | {"charges": "expensive"}]}, model_name=churn.model)
        request = infer_type.InferRequest(churn.model, inputs(binary=False)[:1])
        with pytest.raises(httpx.HTTPStatusError, match="the model needs it, '400 Bad Request'"):
            await v2.infer(churn.url, request, model_name=churn.model)
        with pytest.raises(httpx.HTTPStatusError, match=r"no model 'absent' here.*, '404 Not Found'"):
            await v1.infer(churn.url, {"instances": ROWS}, model_name="absent")

    async def test_there_is_no_explainer(self, churn: Target, v1: Any) -> None:
        with pytest.raises(httpx.HTTPStatusError) as raised:
            await v1.explain(churn.url, churn.model, {"instances": ROWS})

        assert raised.value.response.status_code == 501  # as KServe's own server answers
        assert list(raised.value.response.json()) == ["error"]

    async def test_the_version_in_the_path(self, churn: Target, v2: Any) -> None:
        """The client has no argument for it, so a graph's endpoint carries it."""
        document = infer_type.InferRequest(churn.model, inputs(binary=False)).to_rest()[0]
        url = f"{churn.url}/v2/models/{churn.model}/versions/{VERSION}/infer"

        answer = await v2.infer(url, document, is_graph_endpoint=True)

        assert answer["model_version"] == VERSION


def text(labels: np.ndarray) -> list[str]:
    """Labels in binary form come as bytes, in JSON as text."""
    return [one.decode() if isinstance(one, bytes) else one for one in labels.ravel().tolist()]

"""Triton's own HTTP client against a real server: JSON and binary, requests in flight, classification, repository.

The target is a process of ours; STAGEWRIGHT_CONFORMANCE_ADDRESS points the same tests to a container or a cluster.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mixed_rows import FEEDS, ROWS
from support.onnx_models import direct
from support.targets import ADDRESS, VERSION, Target, target

http = pytest.importorskip("tritonclient.http")
utils = pytest.importorskip("tritonclient.utils")

KEPT = [0, 2, 3]  # rows without a missing value: numpy arrays have none
TEXTS = {
    "contract": ["One year", "1", "true"],
    "since": [ROWS[row]["since"] for row in KEPT],
    "note": [ROWS[row]["note"] for row in KEPT],
}


@pytest.fixture(scope="module")
def churn(models: dict[str, Path]) -> Iterator[Target]:
    with target(models["mixed"], "churn") as running:
        yield running


@pytest.fixture(scope="module")
def client(churn: Target) -> Iterator[Any]:
    with http.InferenceServerClient(churn.host, concurrency=8, connection_timeout=20, network_timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> dict[str, np.ndarray]:
    return direct(models["mixed"], {name: feed[KEPT] for name, feed in FEEDS.items()})


def arrays() -> dict[str, tuple[str, np.ndarray]]:
    """Datatype and values of every column."""
    numbers = {name: FEEDS[name][KEPT] for name in ("tenure", "charges")}
    return {
        "tenure": ("FP32", numbers["tenure"]),
        "charges": ("FP64", np.array([[ROWS[row]["charges"]] for row in KEPT], np.float64)),
        "contract": ("BYTES", np.array(TEXTS["contract"], object).reshape(-1, 1)),
        "senior": ("BOOL", FEEDS["senior"][KEPT].astype(bool)),
        "since": ("BYTES", np.array(TEXTS["since"], object).reshape(-1, 1)),
        "note": ("BYTES", np.array([one.encode() for one in TEXTS["note"]], object).reshape(-1, 1)),
    }


def inputs(*, binary: bool = True) -> list[Any]:
    given = []
    for name, (datatype, values) in arrays().items():
        tensor = http.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        given.append(tensor)
    return given


def labels(result: Any) -> list[str]:
    return [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("label").tolist()]


class TestHttp:
    """What the client offers, as far as it makes sense for a server without shared memory."""

    def test_health(self, client: Any, churn: Target) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(churn.model)
        assert client.is_model_ready(churn.model, VERSION)
        assert not client.is_model_ready("absent")
        assert not client.is_model_ready(churn.model, "v0.0.0")

    def test_server_metadata(self, client: Any) -> None:
        metadata = client.get_server_metadata()

        assert metadata["name"] == "stagewright"
        assert metadata["version"]
        assert set(metadata["extensions"]) >= {"binary_tensor_data", "classification", "model_repository",
                                               "model_configuration", "statistics"}  # fmt: skip

    def test_model_metadata(self, client: Any, churn: Target) -> None:
        metadata = client.get_model_metadata(churn.model)

        assert (metadata["name"], metadata["versions"]) == (churn.model, [VERSION])
        assert {one["name"]: one["datatype"] for one in metadata["outputs"]} == {"label": "BYTES", "probabilities": "FP32"}
        assert [one["name"] for one in metadata["inputs"]] == list(arrays())
        assert client.get_model_metadata(churn.model, VERSION) == metadata

    def test_model_configuration(self, client: Any, churn: Target) -> None:
        config = client.get_model_config(churn.model)

        assert (config["name"], config["platform"]) == (churn.model, "onnxruntime_onnx")
        assert config["input"][0] == {"name": "tenure", "data_type": "TYPE_FP32", "dims": [1]}
        assert {one["name"]: (one["data_type"], one["dims"]) for one in config["output"]} == {
            "label": ("TYPE_STRING", [1]), "probabilities": ("TYPE_FP32", [2]),
        }  # fmt: skip
        assert config["max_batch_size"] > 1
        assert client.get_model_config(churn.model, VERSION) == config

    def test_statistics(self, client: Any, churn: Target) -> None:
        before = statistics(client, churn)
        client.infer(churn.model, inputs())
        after = statistics(client, churn)

        assert (after["name"], after["version"]) == (churn.model, VERSION)
        assert after["inference_count"] - before["inference_count"] == len(KEPT)
        assert after["execution_count"] - before["execution_count"] == 1
        assert after["inference_stats"]["success"]["count"] > before["inference_stats"]["success"]["count"]
        assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
        assert churn.model in [one["name"] for one in client.get_inference_statistics()["model_stats"]]

    @pytest.mark.parametrize("request_id", ["", "r-7"])
    @pytest.mark.parametrize("binary_out", [False, True])
    @pytest.mark.parametrize("binary_in", [False, True])
    def test_infer(
        self, client: Any, churn: Target, expected: dict[str, np.ndarray], binary_in: bool, binary_out: bool, request_id: str
    ) -> None:
        wanted = [http.InferRequestedOutput(name, binary_data=binary_out) for name in ("label", "probabilities")]

        result = client.infer(churn.model, inputs(binary=binary_in), outputs=wanted, request_id=request_id)

        assert labels(result) == expected["label"].tolist()
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected["probabilities"], rtol=1e-6)
        document = result.get_response()
        assert (document["model_name"], document["model_version"]) == (churn.model, VERSION)
        assert document.get("id", "") == request_id

    def test_all_outputs_come_as_bytes_if_none_is_named(
        self, client: Any, churn: Target, expected: dict[str, np.ndarray]
    ) -> None:
        result = client.infer(churn.model, inputs(), model_version=VERSION)

        np.testing.assert_array_equal(result.as_numpy("probabilities"), expected["probabilities"])
        assert result.get_output("label")["parameters"]["binary_data_size"] > 0
        assert result.as_numpy("absent") is None

    def test_one_output_of_two(self, client: Any, churn: Target) -> None:
        result = client.infer(churn.model, inputs(), outputs=[http.InferRequestedOutput("probabilities", binary_data=True)])

        assert [one["name"] for one in result.get_response()["outputs"]] == ["probabilities"]

    def test_many_requests_in_flight_with_ids_of_their_own_and_shared(
        self, client: Any, churn: Target, expected: dict[str, np.ndarray]
    ) -> None:
        identities = [f"r-{at}" if at % 2 else "shared" for at in range(64)]

        begun = [client.async_infer(churn.model, inputs(binary=at % 3 > 0), request_id=identity)
                 for at, identity in enumerate(identities)]  # fmt: skip
        results = [one.get_result(timeout=20) for one in begun]

        assert [result.get_response()["id"] for result in results] == identities
        for result in results:
            np.testing.assert_allclose(result.as_numpy("probabilities"), expected["probabilities"], rtol=1e-6)

    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_classification(
        self, client: Any, churn: Target, expected: dict[str, np.ndarray], binary: bool, count: int
    ) -> None:
        """`class_count` asks for the best classes as "score:index:label" instead of the probabilities."""
        wanted = [http.InferRequestedOutput("probabilities", binary_data=binary, class_count=count)]

        result = client.infer(churn.model, inputs(), outputs=wanted)

        entries = result.as_numpy("probabilities")
        kept = min(count, 2)
        assert entries.shape == (len(KEPT), kept)
        assert result.get_output("probabilities")["datatype"] == "BYTES"
        for row, best in zip(expected["probabilities"], entries.tolist(), strict=True):
            order = np.argsort(-row, kind="stable")[:kept]
            for entry, index in zip(best, order, strict=True):
                score, position, label = (entry.decode() if isinstance(entry, bytes) else entry).split(":")
                assert (int(position), label) == (index, ("No", "Yes")[index])
                assert float(score) == pytest.approx(row[index], abs=1e-5)

    def test_parameters_that_mean_nothing_here_are_accepted(self, client: Any, churn: Target) -> None:
        result = client.infer(
            churn.model, inputs(), sequence_id=7, sequence_start=True, sequence_end=True, priority=1, timeout=20_000_000,
            parameters={"tenant": "a"}, headers={"x-tenant": "a"}, query_params={"trace": ["1", "2"]},
        )  # fmt: skip

        assert result.get_response()["model_name"] == churn.model

    def test_a_body_made_and_read_apart_from_the_transport(
        self, client: Any, churn: Target, expected: dict[str, np.ndarray]
    ) -> None:
        import urllib3

        body, length = client.generate_request_body(inputs(), request_id="apart")
        answer = urllib3.request("POST", f"{churn.url}/v2/models/{churn.model}/infer", body=body,
                                 headers={"Inference-Header-Content-Length": str(length)})  # fmt: skip

        header = int(answer.headers["Inference-Header-Content-Length"])
        result = client.parse_response_body(answer.data, header_length=header)
        np.testing.assert_array_equal(result.as_numpy("probabilities"), expected["probabilities"])

    def test_mistakes_are_sentences(self, client: Any, churn: Target) -> None:
        def refused(status: str, sentence: str, **changed: Any) -> None:
            arguments = {"model_name": churn.model, "inputs": inputs()} | changed
            with pytest.raises(utils.InferenceServerException, match=sentence) as raised:
                client.infer(**arguments)
            assert raised.value.status() == status

        wide = http.InferInput("tenure", [3, 2], "FP32")
        wide.set_data_from_numpy(np.zeros((3, 2), np.float32))
        shared = http.InferInput("tenure", [3, 1], "FP32")
        shared.set_shared_memory("region", 12)
        refused("404", "no model 'absent' here", model_name="absent")
        refused("404", "has no version 'v9' here", model_version="v9")
        refused("400", "'charges': not in the request, and the model needs it", inputs=inputs()[:1])
        refused("400", "shape \\[3, 2\\]", inputs=[wide, *inputs()[1:]])
        refused("400", "no output 'score'", outputs=[http.InferRequestedOutput("score")])
        refused("400", "'tenure'", inputs=[shared, *inputs()[1:]])
        refused("415", "'gzip' is not supported", request_compression_algorithm="gzip")

    def test_what_is_not_offered_is_said(self, client: Any) -> None:
        for ask in (
            client.get_trace_settings,
            client.get_log_settings,
            client.get_system_shared_memory_status,
            client.get_cuda_shared_memory_status,
        ):
            with pytest.raises(utils.InferenceServerException, match="nothing is served at") as raised:
                ask()
            assert raised.value.status() == "404"
        for ask in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
            with pytest.raises(utils.InferenceServerException, match="no model 'absent' here"):
                ask("absent")


class TestRepository:
    """Index, unload and load; the last test of the module, as it takes the model away for a moment."""

    def test_index(self, client: Any, churn: Target) -> None:
        index = client.get_model_repository_index()

        entry = next(one for one in index if one["name"] == churn.model)
        assert (entry["version"], entry["state"]) == (VERSION, "READY")

    @pytest.mark.skipif(ADDRESS in os.environ, reason=f"takes the model away from others: not where {ADDRESS} points")
    def test_unload_and_load(self, client: Any, churn: Target, expected: dict[str, np.ndarray]) -> None:
        client.unload_model(churn.model)

        assert client.is_server_live()
        assert not client.is_model_ready(churn.model)
        entry = next(one for one in client.get_model_repository_index() if one["name"] == churn.model)
        assert entry["state"] == "UNAVAILABLE"
        with pytest.raises(utils.InferenceServerException):
            client.infer(churn.model, inputs())

        client.load_model(churn.model)

        assert client.is_model_ready(churn.model)
        assert labels(client.infer(churn.model, inputs())) == expected["label"].tolist()

    def test_a_model_that_the_repository_does_not_know(self, client: Any) -> None:
        for ask in (client.load_model, client.unload_model):
            with pytest.raises(utils.InferenceServerException, match="absent") as raised:
                ask("absent")
            assert raised.value.status() in ("400", "404")

    def test_files_in_the_request_are_refused(self, client: Any, churn: Target) -> None:
        """A model comes from where the server was pointed to, never from a caller."""
        with pytest.raises(utils.InferenceServerException) as raised:
            client.load_model(churn.model, config="{}", files={"file:1/model.onnx": b"x"})
        assert raised.value.status() == "400"
        assert client.is_model_ready(churn.model)


def statistics(client: Any, churn: Target) -> dict[str, Any]:
    return client.get_inference_statistics(churn.model)["model_stats"][0]

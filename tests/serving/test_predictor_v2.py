"""The Open Inference Protocol: metadata, JSON and binary tensors, against ONNX Runtime called directly."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from support.asgi_client import AsgiClient, Reply
from support.mixed_rows import FEEDS, ROWS
from support.onnx_models import direct

from stagewright.components.predictor.wire.tensors import NUMPY

PATH = "/v2/models/churn/infer"
DATATYPES = {"tenure": "FP32", "charges": "FP64", "contract": "BYTES", "senior": "BOOL", "since": "BYTES", "note": "BYTES"}
TEXTS = {"contract": ["One year", "", "1", "true"], "since": [ROWS[0]["since"], "", ROWS[2]["since"], ROWS[3]["since"]]}


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> dict[str, np.ndarray]:
    return direct(models["mixed"], FEEDS)


def tensor(name: str, datatype: str, data: list, shape: list[int] | None = None) -> dict:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data), 1], "data": data}


def request(**replaced: dict) -> dict:
    """All columns of ROWS as JSON tensors, some of them replaced."""
    tensors = {
        name: tensor(name, datatype, TEXTS.get(name) or [None if row[name] is None else row[name] for row in ROWS])
        for name, datatype in DATATYPES.items()
    }
    tensors["senior"]["data"] = [True, None, False, True]
    return {"id": "42", "inputs": list({**tensors, **replaced}.values())}


def packed(strings: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in strings)


def binary(inputs: list[tuple[str, str, list[int], bytes]], **more: object) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request in the binary form: (name, datatype, shape, bytes) for each input."""
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in inputs
    ]
    header = json.dumps({"inputs": described, **more}).encode()
    return b"".join([header, *(data for *_, data in inputs)]), {"Inference-Header-Content-Length": str(len(header))}


def parsed(answer: Reply) -> dict[str, np.ndarray | list[str]]:
    """Outputs of an answer in the binary form."""
    length = int(answer.headers["inference-header-content-length"])
    document, rest = json.loads(answer.body[:length]), answer.body[length:]
    outputs: dict[str, np.ndarray | list[str]] = {}
    for output in document["outputs"]:
        if "data" in output:
            outputs[output["name"]] = output["data"]
            continue
        data, rest = rest[: output["parameters"]["binary_data_size"]], rest[output["parameters"]["binary_data_size"] :]
        if output["datatype"] == "BYTES":
            strings = []
            while data:
                size = struct.unpack("<I", data[:4])[0]
                strings.append(data[4 : 4 + size].decode())
                data = data[4 + size :]
            outputs[output["name"]] = strings
        else:
            dtype = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
            outputs[output["name"]] = np.frombuffer(data, dtype).reshape(output["shape"])
    assert rest == b""
    return outputs


def test_metadata_describes_the_signature(mixed: AsgiClient) -> None:
    assert mixed.get("/v2/models/churn").json == {
        "name": "churn",
        "versions": ["v1.2.3"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "tenure", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "charges", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "contract", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "senior", "datatype": "BOOL", "shape": [-1, 1]},
            {"name": "since", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "note", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
        "parameters": {"task": "binary", "framework": "sklearn", "classes": ["No", "Yes"]},
    }
    assert mixed.get("/v2/models/churn/versions/v1.2.3").json == mixed.get("/v2/models/churn").json


def test_health_and_server_metadata(mixed: AsgiClient) -> None:
    assert mixed.get("/v2/health/live").json == {"live": True}
    assert mixed.get("/v2/health/ready").json == {"ready": True}
    assert mixed.get("/v2/models/churn/ready").json == {"name": "churn", "ready": True}
    assert mixed.get("/v2/models/churn/versions/v1.2.3/ready").status == 200
    server = mixed.get("/v2").json
    assert server["name"] == "stagewright"
    assert set(server["extensions"]) >= {"binary_tensor_data", "classification"}


def test_json_tensors_equal_onnx_runtime(mixed: AsgiClient, expected: dict[str, np.ndarray]) -> None:
    answer = mixed.post(PATH, request()).json

    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "churn", "v1.2.3")
    label, probabilities = answer["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [4], "data": expected["label"].tolist()}
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [4, 2])
    np.testing.assert_allclose(np.reshape(probabilities["data"], (4, 2)), expected["probabilities"], atol=1e-7)


@pytest.mark.parametrize("version", ["", "/versions/v1.2.3"])
def test_an_id_is_not_needed(mixed: AsgiClient, version: str) -> None:
    document = request()
    del document["id"]

    answer = mixed.post(f"/v2/models/churn{version}/infer", document)

    assert answer.status == 200
    assert "id" not in answer.json


@pytest.mark.parametrize(
    "replacement",
    [
        tensor("tenure", "FP32", [12, None, 1.5, 72], [4]),
        tensor("tenure", "FP64", [[12], [None], [1.5], [72]]),
        tensor("since", "INT64", [1551398400000000, None, 1709164800000000, 0]),
        tensor("contract", "BYTES", ["One year", None, "1", "true"]),
        tensor("senior", "UINT8", [1, None, 0, 1]),
        {**tensor("tenure", "FP32", [12, None, 1.5, 72]), "parameters": {"content_type": "np", "unknown": [1]}},
    ],
    ids=["flat-shape", "nested", "microseconds", "null-text", "boolean-as-integer", "unknown-parameters"],
)
def test_other_spellings_mean_the_same(mixed: AsgiClient, replacement: dict) -> None:
    assert mixed.post(PATH, request(**{replacement["name"]: replacement})).json == mixed.post(PATH, request()).json


def test_requested_outputs_come_alone_and_in_order(mixed: AsgiClient) -> None:
    def names(*outputs: str) -> list[str]:
        answer = mixed.post(PATH, {**request(), "outputs": [{"name": name} for name in outputs]}).json
        return [output["name"] for output in answer["outputs"]]

    assert names("probabilities") == ["probabilities"]
    assert names("probabilities", "label") == ["probabilities", "label"]
    assert names() == ["label", "probabilities"]


def all_columns() -> list[tuple[str, str, list[int], bytes]]:
    return [
        ("tenure", "FP32", [4, 1], FEEDS["tenure"].tobytes()),
        ("charges", "FP64", [4], np.array([70.35, 20, 99.9, 0.1]).tobytes()),
        ("contract", "BYTES", [4, 1], packed(TEXTS["contract"])),
        ("senior", "FP32", [4, 1], FEEDS["senior"].tobytes()),
        ("since", "INT64", [4, 1], FEEDS["since"].tobytes()),
        ("note", "BYTES", [4, 1], packed([row["note"] for row in ROWS])),
    ]


def test_binary_tensors_equal_onnx_runtime(mixed: AsgiClient, expected: dict[str, np.ndarray]) -> None:
    body, headers = binary(all_columns(), parameters={"binary_data_output": True})

    answer = mixed.post(PATH, body=body, headers=headers)

    assert answer.headers["content-type"] == "application/octet-stream"
    outputs = parsed(answer)
    assert outputs["label"] == expected["label"].tolist()
    np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])


def test_binary_is_chosen_for_each_output(mixed: AsgiClient, expected: dict[str, np.ndarray]) -> None:
    wanted = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    document = {**request(), "outputs": wanted, "parameters": {"binary_data_output": True}}

    outputs = parsed(mixed.post(PATH, document))

    assert outputs["label"] == expected["label"].tolist()
    np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])


def test_json_and_binary_inputs_mix(mixed: AsgiClient) -> None:
    note = tensor("note", "BYTES", [row["note"] for row in ROWS])
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in all_columns()[:-1]
    ]
    header = json.dumps({"id": "42", "inputs": [*described[:2], note, *described[2:]]}).encode()
    body = b"".join([header, *(data for *_, data in all_columns()[:-1])])

    answer = mixed.post(PATH, body=body, headers={"Inference-Header-Content-Length": str(len(header))})

    assert answer.json == mixed.post(PATH, request()).json


@pytest.mark.parametrize(
    "datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"]
)
def test_every_number_type_casts_to_the_same(mixed: AsgiClient, datatype: str) -> None:
    others = [("charges", "FP32", [2], np.array([1, 2], "<f4").tobytes()), ("note", "BYTES", [2], packed(["a", "b"]))]
    body, headers = binary([("tenure", datatype, [2, 1], np.array([3, 100], NUMPY[datatype]).tobytes()), *others])
    simple = [tensor("tenure", "FP32", [3, 100]), tensor("charges", "FP32", [1, 2]), tensor("note", "BYTES", ["a", "b"])]

    assert mixed.post(PATH, body=body, headers=headers).json == mixed.post(PATH, {"inputs": simple}).json


def test_bfloat16_and_bool_in_binary(mixed: AsgiClient) -> None:
    halves = (np.array([3, 100], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    columns = [
        ("tenure", "BF16", [2, 1], halves), ("senior", "BOOL", [2, 1], b"\x01\x00"),
        ("charges", "INT32", [2], np.array([1, 2], "<i4").tobytes()), ("note", "BYTES", [2], packed(["a", "b"])),
    ]  # fmt: skip
    body, headers = binary(columns)
    plain = [
        tensor("tenure", "FP32", [3, 100]), tensor("senior", "BOOL", [True, False]),
        tensor("charges", "FP32", [1, 2]), tensor("note", "BYTES", ["a", "b"]),
    ]  # fmt: skip

    assert mixed.post(PATH, body=body, headers=headers).json == mixed.post(PATH, {"inputs": plain}).json


@pytest.mark.parametrize("form", ["nested", "flat", "binary"])
def test_one_table_holds_all_numeric_columns(wine_model: AsgiClient, models: dict[str, Path], wine, form: str) -> None:
    table = wine.drop("cultivar").to_numpy().astype(np.float32)
    names = [given["name"] for given in wine_model.get("/v2/models/wine").json["inputs"]]
    own = direct(models["wine"], {name: table[:, [at]] for at, name in enumerate(names)})
    path, shape = "/v2/models/wine/infer", list(table.shape)
    if form == "binary":
        body, headers = binary([("input-0", "FP32", shape, table.tobytes())])
        answer = wine_model.post(path, body=body, headers=headers)
    else:
        data = table.tolist() if form == "nested" else table.ravel().tolist()
        answer = wine_model.post(path, {"inputs": [tensor("input-0", "FP32", data, shape)]})

    label, probabilities = answer.json["outputs"]
    assert (label["datatype"], label["data"]) == ("INT64", own["label"].tolist())
    np.testing.assert_allclose(np.reshape(probabilities["data"], (-1, 3)), own["probabilities"], atol=1e-6)

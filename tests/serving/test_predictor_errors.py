"""Every way to ask wrongly gets its own sentence and a 4xx."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.asgi_client import AsgiClient
from support.mixed_rows import ROWS

from stagewright.components.predictor import model_source
from stagewright.components.predictor.http.app import Application, Limits
from stagewright.components.predictor.inference.model import OnnxModel

V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"
GOOD = ROWS[0]
TAKES = "tenure, charges, contract, senior, since, note"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


V1_ERRORS = [
    (b"{", "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)"),
    (b"", "the body is not JSON: Input is a zero-length, empty document: line 1 column 1 (char 0)"),
    (
        b'{"instances": [[NaN]]}',
        "the body is not JSON: unexpected character, expected a JSON value: line 1 column 17 (char 16)",
    ),
    ([1], "the body is a list; expected a JSON object"),
    (None, "the body is null; expected a JSON object"),
    ({"rows": []}, 'the body has neither "instances" nor "inputs"; send {"instances": [row, ...]}'),
    ({"instances": {"a": 1}}, '"instances" is an object; expected a list of rows'),
    ({"instances": "abc"}, "\"instances\" is 'abc'; expected a list of rows"),
    ({"instances": []}, '"instances" is empty: send at least one row'),
    ({"instances": [1, 2]}, "row 0 is 1; expected a list of 6 values or an object by column name"),
    ({"instances": [None]}, "row 0 is null; expected a list of 6 values or an object by column name"),
    ({"instances": [GOOD, [1]]}, "row 1 is a list, but row 0 is an object; send all rows in one form"),
    ({"instances": [GOOD, GOOD, 7]}, "row 2 is 7, but row 0 is an object; send all rows in one form"),
    ({"instances": [[1, 2]]}, f"row 0 has 2 values; the model takes 6: {TAKES}"),
    ({"instances": [list(GOOD.values()), [1]]}, f"row 1 has 1 value; the model takes 6: {TAKES}"),
    ({"instances": [GOOD, {**GOOD, "contrat": 1}]}, "row 1: the model has no column 'contrat' (did you mean 'contract'?)"),
    ({"instances": [{**without("since"), "xyz": 1}]}, f"row 0: the model has no column 'xyz'; it takes {TAKES}"),
    ({"instances": [GOOD, without("charges")]}, "column 'charges', row 1: no value, and the model needs one"),
    ({"instances": [{**GOOD, "note": ""}]}, "column 'note', row 0: no value, and the model needs one"),
    ({"instances": [GOOD, {**GOOD, "tenure": "12"}]}, "column 'tenure', row 1: '12' is not a number"),
    ({"instances": [{**GOOD, "tenure": [12]}]}, "column 'tenure', row 0: a list is not a number"),
    ({"instances": [{**GOOD, "senior": "yes"}]}, "column 'senior', row 0: 'yes' is not true or false"),
    ({"instances": [{**GOOD, "senior": 2}]}, "column 'senior', row 0: 2 is not true or false"),
    ({"instances": [{**GOOD, "contract": {}}]}, "column 'contract', row 0: an object is not text, a number or a boolean"),
    (
        {"instances": [GOOD, {**GOOD, "since": "yesterday"}]},
        "column 'since', row 1: 'yesterday' is not a time; expected ISO 8601 such as 2024-01-31T12:00:00Z",
    ),
    (
        {"instances": [{**GOOD, "since": 5}]},
        "column 'since', row 0: 5 is not a time; expected ISO 8601 such as 2024-01-31T12:00:00Z",
    ),
    (
        {"instances": [{**GOOD, "tenure": "x" * 1000}]},
        f"column 'tenure', row 0: '{'x' * 40}...' is not a number",
    ),
    ({"instances": [{**GOOD, "tenure": "a\nb\u00fc\0"}]}, r"column 'tenure', row 0: 'a\nbü\x00' is not a number"),
    ({"inputs": {}}, '"inputs" is empty: send at least one column'),
    ({"inputs": {"note": []}}, '"inputs" is empty: send at least one row'),
    ({"inputs": {"note": "a"}}, "column 'note' is 'a'; expected a list of values"),
    ({"inputs": {"note": ["a"], "charges": [1, 2]}}, "column 'charges' has 2 values, but column 'note' has 1"),
    ({"inputs": {"note": ["a"]}}, "column 'charges': not in the request, and the model needs it"),
    ({"inputs": {"nite": ["a"]}}, "the model has no column 'nite' (did you mean 'note'?)"),
]


@pytest.mark.parametrize(("document", "sentence"), V1_ERRORS, ids=[sentence[:60] for _, sentence in V1_ERRORS])
def test_v1_refuses(mixed: AsgiClient, document: Any, sentence: str) -> None:
    answer = mixed.post(V1, body=document) if isinstance(document, bytes) else mixed.post(V1, document)

    assert (answer.status, answer.json) == (400, {"error": sentence})


def tensor(name: str, datatype: Any, shape: Any, data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


CHARGES, NOTE = tensor("charges", "FP32", [1, 1], [1.0]), tensor("note", "BYTES", [1, 1], ["a"])


def x(datatype: Any, shape: Any, data: Any) -> dict[str, Any]:
    """A request whose `tenure` is this tensor, and the rest is good."""
    return {"inputs": [tensor("tenure", datatype, shape, data), CHARGES, NOTE]}


FITTING = "send one of FP32, FP64, FP16, BF16, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, BOOL"
EXPECTED = "expected one of BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FP16, FP32, FP64, BF16, BYTES"
ALL_AT_ONCE = (
    "input 'all': shape [1, 6] would hold all columns at once, which fits only a model whose columns are all numeric; "
    "send one tensor a column"
)
V2_ERRORS = [
    (b"[]", "the request's JSON is a list; expected a JSON object"),
    ({}, "'inputs' must be a list of at least one tensor"),
    ({"inputs": []}, "'inputs' must be a list of at least one tensor"),
    ({"inputs": [1]}, "input 0 has no 'name'"),
    ({"id": 3, "inputs": [CHARGES, NOTE]}, "'id' is 3; expected a string"),
    ({"inputs": [CHARGES, NOTE], "parameters": []}, "the request: 'parameters' is a list; expected an object"),
    ({"inputs": [{**CHARGES, "parameters": 1}, NOTE]}, "input 'charges': 'parameters' is 1; expected an object"),
    (
        {"inputs": [CHARGES, NOTE], "parameters": {"binary_data_output": 1}},
        "parameter 'binary_data_output' is 1; expected true or false",
    ),
    ({"inputs": [CHARGES, NOTE], "outputs": {}}, "'outputs' is an object; expected a list"),
    ({"inputs": [CHARGES, NOTE], "outputs": [{}]}, "output 0 has no 'name'"),
    ({"inputs": [CHARGES, NOTE], "outputs": [{"name": "score"}]},
     "the model has no output 'score'; it answers label, probabilities"),
    ({"inputs": [CHARGES]}, "column 'note': not in the request, and the model needs it"),
    ({"inputs": [CHARGES, NOTE, NOTE]}, "input 'note': stands more than once"),
    ({"inputs": [CHARGES, NOTE, tensor("tenur", "FP32", [1], [1])]}, "the model has no input 'tenur' (did you mean 'tenure'?)"),
    (x("FP128", [1], [1]), f"input 'tenure': datatype 'FP128' is not supported; {EXPECTED}"),
    (x(None, [1], [1]), f"input 'tenure': datatype null is not supported; {EXPECTED}"),
    (x("BYTES", [1], ["1"]), f"input 'tenure': datatype BYTES does not fit a numeric column; {FITTING}"),
    (x("FP32", [1], ["1"]), "input 'tenure': value 0 is '1', which is not a number (datatype FP32)"),
    (x("INT32", [1], [1.5]), "input 'tenure': value 0 is 1.5, which is not an integer (datatype INT32)"),
    (x("INT8", [1], [300]), "input 'tenure': value 0 is 300, which does not fit INT8 (-128 to 127)"),
    (x("UINT8", [1], [-1]), "input 'tenure': value 0 is -1, which does not fit UINT8 (0 to 255)"),
    (x("BOOL", [1], [1]), "input 'tenure': value 0 is 1, which is not a boolean (datatype BOOL)"),
    (x("FP32", [2, 3], [1.0, 2.0]), "input 'tenure': shape [2, 3] needs 6 values, got 2"),
    (x("FP32", [1, 1], []), "input 'tenure': shape [1, 1] needs 1 value, got 0"),
    (x("FP32", [2], [1, 2]), "input 'charges': has 1 row, but input 'tenure' has 2"),
    (x("FP32", [1, 2], [1, 2]), "input 'tenure': shape [1, 2] has 2 columns; expected [rows] or [rows, 1]"),
    (x("FP32", [2, 1], [[1], [2, 3]]), "input 'tenure': row 1 has 2 values, but shape [2, 1] needs 1"),
    (x("FP32", [2, 1], [[1], 2]), "input 'tenure': 'data' mixes lists and single values"),
    (x("FP32", [1], [[1]]), "input 'tenure': 'data' is nested, but shape [1] has one dimension"),
    (x("FP32", [1, 1], [[[1]]]), "input 'tenure': value 0 is a list, which is not a number (datatype FP32)"),
    (x("FP32", [0, 1], []), "input 'tenure': shape [0, 1] is empty: send at least one row"),
    (x("FP32", [1, 1, 1], [1]), "input 'tenure': shape [1, 1, 1] has 3 dimensions; expected [rows] or [rows, columns]"),
    (x("FP32", [-1, 1], [1]), "input 'tenure': 'shape' must be a list of sizes such as [2, 1]"),
    (x("FP32", [True], [1]), "input 'tenure': 'shape' must be a list of sizes such as [2, 1]"),
    (x("FP32", None, [1]), "input 'tenure': 'shape' must be a list of sizes such as [2, 1]"),
    (x("FP32", [1], 1), "input 'tenure': 'data' is 1; expected a list"),
    ({"inputs": [{"name": "tenure", "datatype": "FP32", "shape": [1]}]},
     "input 'tenure': has neither 'data' nor the parameter 'binary_data_size'"),
    ({"inputs": [tensor("all", "FP32", [1, 6], [1] * 6)]}, ALL_AT_ONCE),
]  # fmt: skip


@pytest.mark.parametrize(("document", "sentence"), V2_ERRORS, ids=[sentence[:60] for _, sentence in V2_ERRORS])
def test_v2_refuses(mixed: AsgiClient, document: Any, sentence: str) -> None:
    answer = mixed.post(V2, body=document) if isinstance(document, bytes) else mixed.post(V2, document)

    assert (answer.status, answer.json) == (400, {"error": sentence})


def test_v2_refuses_a_table_of_another_width(wine_model: AsgiClient) -> None:
    answer = wine_model.post("/v2/models/wine/infer", {"inputs": [tensor("input-0", "FP32", [1, 2], [1, 2])]})

    assert answer.status == 400
    assert answer.json["error"].startswith(
        "input 'input-0': shape [1, 2] has 2 columns; the model takes 13: alcohol, malic_acid,"
    )


def described(size: Any, *, name: str = "note", datatype: str = "BYTES", rows: int = 1) -> bytes:
    entry = {"name": name, "datatype": datatype, "shape": [rows, 1], "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [CHARGES, entry]}).encode()


A = struct.pack("<I", 1) + b"a"
BINARY_ERRORS = [
    (described(5), A + b"zz", "2 bytes follow the JSON that no input's binary_data_size accounts for"),
    (described(9), A, "input 'note': binary_data_size is 9, but only 5 are left after the JSON"),
    (described(-1), A, "input 'note': binary_data_size is -1; expected a number of bytes"),
    (described("5"), A, "input 'note': binary_data_size is '5'; expected a number of bytes"),
    (described(4), A[:4], "input 'note': element 0 of the binary data runs past its end"),
    (described(3), A[:3], "input 'note': element 0 of the binary data runs past its end"),
    (described(10), A * 2, "input 'note': the binary data hold more than the 1 element of its shape"),
    (described(5, rows=2), A, "input 'note': the binary data hold 1 element, but its shape needs 2"),
    (described(5), A[:4] + b"\xff", "input 'note': element 0 of the binary data is not UTF-8 text"),
    (
        described(5, name="tenure", datatype="FP32"),
        A,
        "input 'tenure': binary_data_size is 5, but shape [1, 1] of FP32 takes 4 bytes",
    ),
    (
        described(4, name="senior", datatype="FP32"),
        np.float32(3).tobytes(),
        "column 'senior', row 0: 3 is not true or false",
    ),
]


@pytest.mark.parametrize(("header", "data", "sentence"), BINARY_ERRORS, ids=[sentence[:60] for *_, sentence in BINARY_ERRORS])
def test_binary_refuses(mixed: AsgiClient, header: bytes, data: bytes, sentence: str) -> None:
    answer = mixed.post(V2, body=header + data, headers={"Inference-Header-Content-Length": str(len(header))})

    assert (answer.status, answer.json) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("length", "sentence"),
    [
        ("abc", "Inference-Header-Content-Length is 'abc'; expected a number of bytes"),
        ("-1", "Inference-Header-Content-Length is '-1'; expected a number of bytes"),
        ("999", "Inference-Header-Content-Length is 999, but the body has only 2 bytes"),
        ("1", "the request's JSON is not JSON: unexpected end of data: line 1 column 2 (char 1)"),
    ],
)
def test_a_bad_header_length_is_refused(mixed: AsgiClient, length: str, sentence: str) -> None:
    answer = mixed.post(V2, body=b"{}", headers={"Inference-Header-Content-Length": length})

    assert (answer.status, answer.json) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("POST", "/v1/models/chrun:predict", 404, "no model 'chrun' here; /v2/models lists the models"),
        ("GET", "/v1/models/chrun", 404, "no model 'chrun' here; /v2/models lists the models"),
        ("POST", "/v2/models/chrun/infer", 404, "no model 'chrun' here; /v2/models lists the models"),
        ("GET", "/v2/models/chrun/ready", 404, "no model 'chrun' here; /v2/models lists the models"),
        ("POST", "/v2/models/churn/versions/v9/infer", 404, "model 'churn' has no version 'v9' here; served is v1.2.3"),
        ("GET", "/v2/models/churn/versions/v9", 404, "model 'churn' has no version 'v9' here; served is v1.2.3"),
        ("GET", "/v3", 404, "nothing is served at '/v3'; this server speaks KServe's protocols V1 and V2"),
        (
            "POST",
            "/v1/models/churn:explain",
            501,
            (
                "model 'churn' has no explainer: this server predicts, at /v1/models/churn:predict; "
                "an InferenceService answers :explain where its spec.explainer names one"
            ),
        ),
        ("POST", "/v1/models/chrun:explain", 404, "no model 'chrun' here; /v2/models lists the models"),
        ("GET", "/v1/models/churn:explain", 405, "GET is not allowed at '/v1/models/churn:explain'; use POST"),
        ("GET", "/v1/models/churn:predict", 405, "GET is not allowed at '/v1/models/churn:predict'; use POST"),
        ("PUT", "/v2/models/churn/infer", 405, "PUT is not allowed at '/v2/models/churn/infer'; use POST"),
        ("DELETE", "/v2/health/live", 405, "DELETE is not allowed at '/v2/health/live'; use GET or HEAD"),
    ],
)
def test_paths_and_methods(mixed: AsgiClient, method: str, path: str, status: int, sentence: str) -> None:
    answer = mixed.send(method, path)

    assert (answer.status, answer.json) == (status, {"error": sentence})
    assert ("allow" in answer.headers) == (status == 405)


@pytest.fixture(scope="module")
def small(models: dict[str, Path]) -> AsgiClient:
    """The mixed model behind tight limits."""
    application = Application("churn", limits=Limits(body_bytes=2000, rows=3))
    application.models.serve(OnnxModel.load(model_source.read(str(models["mixed"])), "churn"))
    return AsgiClient(application)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_too_large_is_refused(small: AsgiClient, announced: bool) -> None:
    chunks = [b" " * 1500] * 2
    headers = {"Content-Length": "3000"} if announced else {}

    answer = small.send("POST", V1, chunks, headers)

    assert answer.status == 413
    assert answer.json == {"error": "the body is larger than 2000 bytes, the most that this server takes"}
    assert answer.headers["connection"] == "close"


def test_a_body_far_too_large_is_not_even_read(small: AsgiClient) -> None:
    assert small.send("POST", V1, [], {"Content-Length": "99999999999999999999999"}).status == 413
    assert small.send("POST", V1, [b" " * 1500] * 1000).status == 413


def test_too_many_rows_are_refused(small: AsgiClient) -> None:
    sentence = {"error": "the request has 4 rows; this server takes at most 3 at once"}
    table = [tensor("charges", "FP32", [4], [1] * 4), tensor("note", "BYTES", [4], ["a"] * 4)]

    for answer in (
        small.post(V1, {"instances": [{"charges": 1, "note": "a"}] * 4}),
        small.post(V1, {"inputs": {"charges": [1] * 4}}),
        small.post(V2, {"inputs": table}),
    ):
        assert (answer.status, answer.json) == (413, sentence)


def test_a_compressed_body_is_refused(mixed: AsgiClient) -> None:
    answer = mixed.post(V1, {}, headers={"Content-Encoding": "gzip"})

    assert answer.status == 415
    assert answer.json == {"error": "Content-Encoding 'gzip' is not supported; send the body uncompressed"}


def test_a_model_that_is_not_loaded_yet_is_not_ready() -> None:
    client = AsgiClient(Application("churn"))

    assert client.get("/v2/health/live").status == 200
    assert (client.get("/v2/health/ready").status, client.get("/v2/health/ready").json) == (503, {"ready": False})
    for answer in (
        client.get("/v2/models/churn/ready"),
        client.get("/v1/models/churn"),
        client.post(V1, {}),
        client.post(V2, {}),
    ):
        assert (answer.status, answer.json) == (503, {"error": "model 'churn' is still loading; try again soon"})


def test_a_client_that_went_away_gets_no_answer(mixed: AsgiClient) -> None:
    assert mixed.send("POST", V1, []).status == 0


def test_metrics_count_what_was_answered(models: dict[str, Path]) -> None:
    application = Application("churn")
    application.models.serve(OnnxModel.load(model_source.read(str(models["mixed"])), "churn", version="v1.0.0"))
    client = AsgiClient(application)
    client.post(V1, {"instances": ROWS})
    client.post(V1, {"instances": []})
    client.post("/v1/models/invented:predict", {})

    lines = client.get("/metrics").body.decode().splitlines()

    for line in (
        'stagewright_requests_total{model="churn",protocol="v1",status="200"} 1.0',
        'stagewright_requests_total{model="churn",protocol="v1",status="400"} 1.0',
        'stagewright_requests_total{model="",protocol="v1",status="404"} 1.0',
        'stagewright_rows_total{model="churn"} 4.0',
        'stagewright_inference_seconds_count{model="churn"} 1.0',
        'stagewright_request_seconds_count{model="churn",protocol="v1"} 2.0',
        'stagewright_model_info{framework="sklearn",model="churn",task="binary",version="v1.0.0"} 1.0',
        "stagewright_requests_in_flight 1.0",
    ):
        assert line in lines
    assert "invented" not in "".join(lines)

"""Whatever bytes arrive, the answer is a 200 or a 4xx with a sentence: never a 5xx, never silence."""

import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.asgi_client import AsgiClient, Reply
from support.mixed_rows import ROWS

V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"
NAMES = ("tenure", "charges", "contract", "senior", "since", "note")
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

numbers = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), st.sampled_from(["2024-01-01", "", "1", "angry"]))
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
cells = st.one_of(scalars, documents)
rows = st.one_of(st.lists(cells, min_size=5, max_size=7), st.dictionaries(st.sampled_from((*NAMES, "other")), cells), cells)
shapes = st.one_of(st.lists(st.integers(-1, 4), max_size=3), st.just([2**62, 2**62]), st.just([10**30]), documents)
datatypes = st.one_of(
    st.sampled_from(["BOOL", "INT8", "INT64", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES", "STRING"]), documents
)
sizes = st.one_of(st.integers(-1, 64), documents)
tensors = st.fixed_dictionaries(
    {"name": st.sampled_from((*NAMES, "other")), "datatype": datatypes, "shape": shapes},
    optional={
        "data": st.one_of(st.lists(scalars, max_size=4), documents),
        "parameters": st.one_of(
            st.fixed_dictionaries({"binary_data_size": st.one_of(st.integers(-1, 64), documents)}), documents
        ),
    },
)
requests = st.fixed_dictionaries(
    {"inputs": st.one_of(st.lists(st.one_of(tensors, documents), max_size=4), documents)},
    optional={"id": documents, "outputs": documents, "parameters": documents},
)


def check(answer: Reply) -> None:
    assert answer.status == 200 or 400 <= answer.status < 500, answer.body
    if answer.status != 200:
        assert list(answer.json) == ["error"]
        assert "\n" not in answer.json["error"]
        assert len(answer.json["error"]) < 1000


@pytest.mark.parametrize("path", [V1, V2])
@QUICK
@given(body=st.binary(max_size=200))
def test_any_bytes(mixed: AsgiClient, path: str, body: bytes) -> None:
    check(mixed.post(path, body=body))


@pytest.mark.parametrize("path", [V1, V2])
@QUICK
@given(document=documents)
def test_any_json(mixed: AsgiClient, path: str, document: Any) -> None:
    check(mixed.post(path, document))


@QUICK
@given(given=st.one_of(st.lists(rows, max_size=4), rows), key=st.sampled_from(["instances", "inputs"]))
def test_any_rows(mixed: AsgiClient, given: Any, key: str) -> None:
    check(mixed.post(V1, {key: given}))


@QUICK
@given(document=requests, data=st.binary(max_size=64), length=st.one_of(st.none(), st.integers(-3, 3)))
def test_any_tensors(mixed: AsgiClient, document: Any, data: bytes, length: int | None) -> None:
    header = json.dumps(document).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": str(len(header) + length)}
    check(mixed.post(V2, body=header + data, headers=headers))


@QUICK
@given(
    datatype=st.sampled_from(["BOOL", "INT8", "UINT64", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"]),
    data=st.binary(max_size=64),
)
def test_any_binary_column(mixed: AsgiClient, datatype: str, data: bytes) -> None:
    for name in NAMES:
        width = {"BOOL": 1, "INT8": 1, "FP16": 2, "BF16": 2, "FP32": 4}.get(datatype, 8)
        described = {"name": name, "datatype": datatype, "shape": [max(1, len(data) // width)]}
        header = json.dumps({"inputs": [{**described, "parameters": {"binary_data_size": len(data)}}]}).encode()
        check(mixed.post(V2, body=header + data, headers={"Inference-Header-Content-Length": str(len(header))}))


def test_every_truncation_of_a_good_request_is_refused(mixed: AsgiClient) -> None:
    note = struct.pack("<I", 5) + b"angry"
    inputs = [
        {"name": "charges", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}},
        {"name": "note", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 9}},
    ]
    header = json.dumps({"inputs": inputs}).encode()
    body = header + struct.pack("<f", 1.0) + note
    headers = {"Inference-Header-Content-Length": str(len(header))}
    assert mixed.post(V2, body=body, headers=headers).status == 200

    for end in range(len(body)):
        assert mixed.post(V2, body=body[:end], headers=headers).status == 400


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"instances":' * 5000, b'{"instances": [' + b"[" * 2000 + b"]" * 2000 + b"]}"]
)
def test_deep_nesting_is_refused(mixed: AsgiClient, body: bytes) -> None:
    answer = mixed.post(V1, body=body)

    assert answer.status == 400
    check(answer)


def test_a_shape_that_claims_more_than_memory_is_refused(mixed: AsgiClient) -> None:
    described = {"name": "note", "datatype": "BYTES", "shape": [2**62, 2**62], "parameters": {"binary_data_size": 0}}

    check(mixed.post(V2, {"inputs": [described]}))


def test_text_of_any_language_and_with_zeros_passes(mixed: AsgiClient) -> None:
    odd = [{**ROWS[0], "note": note, "contract": note} for note in ("a\0b", "\U0001f600", "\u202e", "x" * 100_000, " ")]

    assert mixed.post(V1, {"instances": odd}).status == 200

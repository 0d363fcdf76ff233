"""V2's classification extension: the likeliest classes instead of all numbers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.asgi_client import AsgiClient
from support.asking import V2, Watched, application, ask
from support.mixed_rows import ROWS

WINE = "/v2/models/wine/infer"
TABLE = {"name": "all", "datatype": "FP32", "shape": [2, 13], "data": [[13.0] * 13, [1.0] * 13]}


def asked(classes: Any, name: str = "probabilities", **parameters: Any) -> dict[str, Any]:
    return {"inputs": [TABLE], "outputs": [{"name": name, "parameters": {"classification": classes, **parameters}}]}


def test_classes_come_likeliest_first_with_their_labels(wine_model: AsgiClient) -> None:
    plain = wine_model.post(WINE, {"inputs": [TABLE]}).json["outputs"][1]
    tensor = wine_model.post(WINE, asked(2)).json["outputs"]

    probabilities = np.array(plain["data"], np.float32).reshape(2, 3)
    expected = [f"{row[at]}:{at}:{at}" for row in probabilities for at in np.argsort(-row)[:2]]
    assert tensor == [{"name": "probabilities", "datatype": "BYTES", "shape": [2, 2], "data": expected}]


def test_more_classes_than_there_are_give_all(wine_model: AsgiClient) -> None:
    assert wine_model.post(WINE, asked(10**9)).json["outputs"][0]["shape"] == [2, 3]


def test_no_classes_are_the_numbers(wine_model: AsgiClient) -> None:
    assert wine_model.post(WINE, asked(0)).json["outputs"][0]["datatype"] == "FP32"


def test_classes_in_binary_form(wine_model: AsgiClient) -> None:
    reply = wine_model.post(WINE, asked(1, binary_data=True))
    length = int(reply.headers["inference-header-content-length"])
    tensor = json.loads(reply.body[:length])["outputs"][0]
    first = wine_model.post(WINE, asked(1)).json["outputs"][0]["data"][0].encode()

    assert tensor["parameters"]["binary_data_size"] == len(reply.body) - length
    assert reply.body[length : length + 4 + len(first)] == len(first).to_bytes(4, "little") + first


@pytest.mark.parametrize(
    ("request_body", "sentence"),
    [
        (asked(-1), "output 'probabilities': 'classification' is -1; expected a number of classes"),
        (asked(True), "output 'probabilities': 'classification' is true; expected a number of classes"),
        (asked("two"), "output 'probabilities': 'classification' is 'two'; expected a number of classes"),
        (asked(1, "label"), "output 'label' has no classes to choose from; ask 'probabilities' for a classification"),
    ],
)
def test_what_cannot_be_classified_is_refused(wine_model: AsgiClient, request_body: dict[str, Any], sentence: str) -> None:
    reply = wine_model.post(WINE, request_body)

    assert (reply.status, reply.json) == (400, {"error": sentence})


def test_each_request_of_a_batch_gets_its_own_classes(models: dict[str, Path]) -> None:
    served = application(Watched(models["mixed"]))
    outputs = [{"name": "probabilities", "parameters": {"classification": 1}}]

    def request(row: dict[str, Any]) -> dict[str, Any]:
        data = {"charges": ("FP32", row["charges"]), "note": ("BYTES", row["note"])}
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [value]} for name, (kind, value) in data.items()]
        return {"inputs": inputs, "outputs": outputs}

    async def together() -> list[str]:
        replies = await asyncio.gather(*(ask(served, request(row), path=V2) for row in ROWS))
        return [reply.json["outputs"][0]["data"][0] for reply in replies]

    alone = [asyncio.run(ask(served, request(row), path=V2)).json["outputs"][0]["data"][0] for row in ROWS]
    assert asyncio.run(together()) == alone
    assert len(set(alone)) == len(ROWS)

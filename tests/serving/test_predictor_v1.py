"""KServe's V1 protocol, against ONNX Runtime called directly."""

from pathlib import Path

import numpy as np
import pytest
from support.asgi_client import AsgiClient
from support.mixed_rows import FEEDS, ROWS
from support.onnx_models import direct

PATH = "/v1/models/churn:predict"


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> dict[str, np.ndarray]:
    answers = direct(models["mixed"], FEEDS)
    assert set(answers["label"]) == {"Yes", "No"}
    return answers


def as_lists(rows: list[dict]) -> list[list]:
    return [list(row.values()) for row in rows]


def columns(rows: list[dict]) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(
    "document",
    [
        {"instances": ROWS},
        {"instances": as_lists(ROWS)},
        {"inputs": as_lists(ROWS)},
        {"inputs": columns(ROWS)},
        {"instances": [dict(reversed(row.items())) for row in ROWS], "signature_name": "serving_default"},
        {"instances": [{name: value for name, value in row.items() if value is not None} for row in ROWS]},
    ],
    ids=["objects", "lists", "inputs", "columns", "any-order", "nulls-left-out"],
)
def test_predict_equals_onnx_runtime(mixed: AsgiClient, expected: dict[str, np.ndarray], document: dict) -> None:
    answer = mixed.post(PATH, document)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["predictions"] == expected["label"].tolist()
    np.testing.assert_allclose(answer.json["probabilities"], expected["probabilities"], atol=1e-7)
    assert (answer.json["model_name"], answer.json["model_version"]) == ("churn", "v1.2.3")


def test_predict_answers_integer_labels(wine_model: AsgiClient, models: dict[str, Path], wine) -> None:
    table = wine.drop("cultivar").to_numpy().astype(np.float32)
    names = wine_model.get("/v2/models/wine").json["inputs"]
    own = direct(models["wine"], {given["name"]: table[:, [at]] for at, given in enumerate(names)})

    answer = wine_model.post("/v1/models/wine:predict", {"instances": table.tolist()}).json

    assert answer["predictions"] == own["label"].tolist()
    assert set(answer["predictions"]) == {0, 1, 2}
    np.testing.assert_allclose(answer["probabilities"], own["probabilities"], atol=1e-6)


def test_predict_answers_numbers_of_a_regressor(diabetes_model: AsgiClient, models: dict[str, Path], diabetes) -> None:
    table = diabetes.drop("progression")
    feeds = {name: table[name].to_numpy().astype(np.float32).reshape(-1, 1) for name in table.columns}

    answer = diabetes_model.post("/v1/models/diabetes:predict", {"instances": table.to_dicts()}).json

    np.testing.assert_allclose(answer["predictions"], direct(models["diabetes"], feeds)["prediction"].ravel(), rtol=1e-6)
    assert "probabilities" not in answer


def test_large_batches_take_the_way_beside_the_loop(mixed: AsgiClient) -> None:
    answer = mixed.post(PATH, {"instances": ROWS * 1000})

    assert answer.json["predictions"] == mixed.post(PATH, {"instances": ROWS}).json["predictions"] * 1000


def test_models_are_listed(mixed: AsgiClient) -> None:
    assert mixed.get("/v1/models").json == {"models": ["churn"]}
    assert mixed.get("/v1/models/churn").json == {"name": "churn", "ready": True}
    assert mixed.get("/").json == {"status": "alive"}

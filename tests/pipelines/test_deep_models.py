"""Images and texts through the main job, from files to a served model whose answers are the model's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import urllib3
from PIL import Image
from support.deep_models import DIGITS_PARAMS, REVIEWS_PARAMS, digits_table, reviews_table
from support.runs import STEPS, Finished

from stagewright.components.runtime.model import Model
from stagewright.components.serving import client
from stagewright.pipelines.local import results

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]
ROWS = 60


def asked(endpoint: str, path: str, body: bytes, **headers: str) -> Any:
    answer = urllib3.request("POST", endpoint + path, body=body, headers=headers, retries=False)
    assert answer.status == 200, answer.data[:300]
    return json.loads(answer.data)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as PNG files in a folder for each, and one file that is none."""
    folder = tmp_path_factory.mktemp("digits")
    for number, (image, digit) in enumerate(digits_table().iter_rows()):
        path = folder / f"digit-{digit}/{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.array(image[0], np.uint8)).save(path)
    (folder / "digit-3/broken.png").write_text("no picture")
    return folder


def test_digits_in_folders_are_read_and_served(run_pipeline: Run, pictures: Path) -> None:
    finished = run_pipeline(
        "train-model", data=str(pictures), target="label", name="digits", framework="torch_vision",
        params=DIGITS_PARAMS, on_bad_row="quarantine", minimum={"accuracy": 0.95}, deploy_to="local",
    )  # fmt: skip

    assert finished.error == ""
    assert finished.steps == [*STEPS, "deploy-model", "promote-model"]
    assert "shape 1 x 8 x 8" in Path(finished.outputs["data_report"]).read_text()
    assert "Worst mistakes" in Path(finished.outputs["report"]).read_text()
    rows = digits_table().head(ROWS)
    folder = results.model_folder(finished.run)
    assert folder is not None
    own = Model.load(folder).predict(rows)
    endpoint, pixels = finished.outputs["endpoint"], rows["image"].to_numpy()
    for instances in (
        pixels.tolist(),
        pixels.reshape(ROWS, -1).tolist(),
        [{"image": image} for image in pixels[:, 0].tolist()],
    ):
        answer = client.predict(endpoint, "digits", instances)
        assert answer.predictions == own.labels.tolist()  # type: ignore[union-attr]
        assert np.allclose(answer.probabilities, own.probabilities, atol=1e-5)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [ROWS, 1, 8, 8], "parameters": {"binary_data_size": pixels.size}}
    header = json.dumps({"inputs": [tensor]}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    binary = asked(endpoint, "/v2/models/digits/infer", header + pixels.tobytes(), **length)
    assert binary["outputs"][0]["data"] == own.labels.tolist()  # type: ignore[union-attr]


def test_reviews_are_judged_and_served(run_pipeline: Run, tmp_path: Path) -> None:
    reviews_table(500).write_csv(tmp_path / "reviews.csv")

    finished = run_pipeline(
        "train-model", data=str(tmp_path / "reviews.csv"), target="score", name="reviews", framework="transformers",
        params=REVIEWS_PARAMS | {"max_tokens": 32}, deploy_to="local", leakage="warn",
    )  # fmt: skip

    assert finished.error == ""
    assert finished.steps == [*STEPS, "deploy-model", "promote-model"]
    folder = results.model_folder(finished.run)
    assert folder is not None
    assert (folder / "serving/tokenizer.json").read_bytes() == (folder / "features/tokenizer.json").read_bytes()
    texts = ["good coffee", "", "this tea is stale, awful and far too expensive " * 20]
    own = Model.load(folder).predict(pl.DataFrame({"review": texts}))
    answer = client.predict(finished.outputs["endpoint"], "reviews", [{"review": text} for text in texts])
    assert answer.predictions == own.labels.tolist()  # type: ignore[union-attr]
    assert np.allclose(answer.probabilities, own.probabilities, atol=1e-5)

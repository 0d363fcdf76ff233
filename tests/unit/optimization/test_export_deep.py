"""Exported networks of images: what stands in the folder, and that everything that reads it answers the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from support.deep_models import digits_model, digits_validation

from stagewright.components.export import export_model as export
from stagewright.components.export.export_model import export_model
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.model_source import read
from stagewright.components.runtime.mlflow_flavor import Pyfunc
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.signature import Input, Signature

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("digits") / "model")


def test_the_signature_and_the_baseline_hold_images(digits: Path) -> None:
    signature = Signature.read(digits / "serving")
    baseline = pl.read_parquet(digits / "serving/baseline.parquet")

    assert signature.inputs == (Input("image", "image", nullable=False, shape=(1, 8, 8)),)
    assert signature.to_dict()["inputs"][0]["shape"] == [-1, 1, 8, 8]
    assert baseline.schema["image"] == pl.Array(pl.UInt8, (1, 8, 8))
    assert baseline["__tolerance__"][0] == 1e-4


def test_the_baseline_of_large_images_is_short(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BASELINE_BYTES", 64 * 30)

    export_model(digits, digits_validation(), tmp_path / "exported")

    assert pl.read_parquet(tmp_path / "exported/serving/baseline.parquet").height == 30


def test_the_predictor_and_mlflow_answer_as_the_model(digits: Path) -> None:
    table = pl.read_parquet(digits_validation()).head(50)
    model = Model.load(digits)
    own = model.predict(table)

    served = OnnxModel.load(read(str(digits)), "digits")
    outputs = served.run({"image": served.columns.find("image").from_values(table["image"].to_list())})
    frame = Pyfunc(model).predict(pd.DataFrame({"image": table["image"].to_list()}))

    assert outputs["label"].tolist() == frame["label"].tolist() == own.labels.tolist()  # type: ignore[union-attr]
    assert np.allclose(outputs["probabilities"], own.probabilities, atol=1e-5)

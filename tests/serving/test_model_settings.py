"""How a model asks to be served, and models whose rows are more than one value."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import onnx_models
from support.mixed_rows import FEEDS
from support.published import publish

from stagewright.components.predictor import model_source
from stagewright.components.predictor.arguments import parse
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.models.loading import load_model
from stagewright.components.predictor.models.repository_backend import Location
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Input, Signature


def published(models: dict[str, Path], folder: Path, **settings: object) -> Path:
    extras = {"settings.json": json.dumps(settings).encode()} if settings else {}
    return publish(models["mixed"], folder, "churn", "v1.0.0", extras=extras)


def test_a_models_own_settings_are_obeyed(tmp_path: Path, models: dict[str, Path]) -> None:
    folder = published(models, tmp_path, threads=2, concurrency=1, graph_optimization="basic", batch_rows=32)

    model = OnnxModel.load(model_source.read(str(folder)), "churn", threads=1)

    assert model.settings == ServingSettings(2, 1, "basic", 32)
    assert model.platform == "onnxruntime_onnx"
    options = model.session.runtime.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert model.run(FEEDS)["label"].tolist() == onnx_models.direct(models["mixed"], FEEDS)["label"].tolist()


def test_the_command_line_wins(tmp_path: Path, models: dict[str, Path]) -> None:
    folder = published(models, tmp_path, threads=2, batch_rows=32)
    settings = parse(
        ["--model", str(folder), "--threads", "3", "--batch-milliseconds", "0.5", "--graph-optimization", "layout"]
    )

    model = load_model(Location("churn", str(folder)), settings)

    assert model.settings == ServingSettings(3, None, "layout", 32, 0.5)


def test_without_settings_the_server_chooses_the_threads(tmp_path: Path, models: dict[str, Path]) -> None:
    folder = published(models, tmp_path)

    assert OnnxModel.load(model_source.read(str(folder)), "churn", threads=2).settings == ServingSettings(threads=2)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"threads": 0}, "parameter 'threads' is 0"), ({"cores": 2}, "unexpected keyword argument 'cores'")],
)
def test_settings_that_cannot_be(tmp_path: Path, models: dict[str, Path], settings: dict[str, int], problem: str) -> None:
    folder = published(models, tmp_path, **settings)

    with pytest.raises(InputError, match=f"settings.json of the model at .* does not hold serving settings: .*{problem}"):
        OnnxModel.load(model_source.read(str(folder)), "churn")


def test_settings_are_verified_like_everything_else(tmp_path: Path, models: dict[str, Path]) -> None:
    folder = published(models, tmp_path, threads=2)
    (folder / "serving" / "settings.json").write_text('{"threads": 64}')

    with pytest.raises(InputError, match=r"serving/settings\.json differs from its checksum in manifest\.json"):
        model_source.read(str(folder))


def pictures(folder: Path, shape: list[int | str], signature_shape: tuple[int, ...] = (1, 4, 4)) -> Path:
    """A regressor that answers the mean of a small picture."""
    node = helper.make_node
    nodes = [
        node("Cast", ["picture"], ["numbers"], to=TensorProto.FLOAT),
        node("Flatten", ["numbers"], ["flat"], axis=1),
        node("ReduceMean", ["flat", "axes"], ["prediction"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "pictures", [helper.make_tensor_value_info("picture", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=onnx_models.OPSETS, ir_version=9)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    Signature("regression", (Input("picture", "image", nullable=False, shape=signature_shape),)).write(folder)
    return folder


@pytest.mark.parametrize("shape", [["rows", 1, 4, 4], ["rows", 1, "height", "width"]])
def test_a_model_of_images_is_rehearsed(tmp_path: Path, shape: list[int | str]) -> None:
    model = OnnxModel.load(model_source.read(str(pictures(tmp_path / "model", shape))), "pictures")

    answer = model.run({"picture": np.full((3, 1, 4, 4), 7, np.uint8)})

    assert answer["prediction"].tolist() == [7.0, 7.0, 7.0]


def test_a_graph_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "model", ["rows", 1, 8, 8])

    sentence = r"takes input 'picture' of shape \['rows', 1, 8, 8\]; expected \[rows, 1, 4, 4\]"
    with pytest.raises(InputError, match=sentence):
        OnnxModel.load(model_source.read(str(folder)), "pictures")

"""A model reads nothing outside its own folder, whatever its format."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from support import mlflow_models

from stagewright.components.export.import_model import import_model
from stagewright.components.predictor import model_source
from stagewright.components.predictor.mlflow_backend.process import _environment
from stagewright.components.predictor.models.repository_backend import Catalog
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.harmless import check_archive, check_model

READS = "which is not harmless: a request could name any file of this machine; fit it with input='content'"


@pytest.fixture
def published(tmp_path: Path, models: dict[str, Path]) -> Path:
    """A published model's folder."""
    folder = tmp_path / "model"
    shutil.copytree(models["wine"], folder / "serving")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    described = [
        {"path": path.relative_to(folder).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": 1}
        for path in files
    ]
    (folder / "manifest.json").write_text(json.dumps({"name": "wine", "version": "v1.0.0", "files": described, "digest": "x"}))
    return folder


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: one,
        lambda one: make_pipeline(ColumnTransformer([("text", one, "path")]), LinearRegression()),
        lambda one: FeatureUnion([("a", make_pipeline(one))]),
        lambda one: {"deep": [np.array([(one,)], dtype=object)]},
        lambda one: make_pipeline(FunctionTransformer(kw_args={"inner": one})),
    ],
)
@pytest.mark.parametrize("kind", [CountVectorizer, TfidfVectorizer, HashingVectorizer])
@pytest.mark.parametrize("given", ["filename", "file", None])
def test_vectorizers_that_read_files_are_refused_wherever_they_are(kind: Any, given: Any, wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError) as refused:
        check_model(wrap(kind(input=given)), "model.skops")

    assert str(refused.value) == f"model.skops holds a {kind.__name__} that reads files (input={str(given)!r}), {READS}"
    check_model(wrap(kind()), "model.skops")


@pytest.mark.parametrize("function", [open, np.load, lambda rows: rows, CountVectorizer(input="content").transform])
def test_functions_are_refused(function: Any) -> None:
    with pytest.raises(InputError, match=r"holds the function .*, which is not known to be harmless; export the model to ONNX"):
        check_model(make_pipeline(FunctionTransformer(function), LinearRegression()), "model.skops")


def test_functions_of_numpy_on_numbers_are_allowed() -> None:
    check_model(make_pipeline(FunctionTransformer(np.log1p), LinearRegression()), "model.skops")


def test_an_mlflow_model_that_reads_files_is_refused_when_it_is_imported(tmp_path: Path) -> None:
    import mlflow

    (tmp_path / "a").write_text("abc")
    rows = pd.DataFrame({"path": [str(tmp_path / "a")] * 2})
    reader = CountVectorizer(input="filename", analyzer="char")
    model = make_pipeline(ColumnTransformer([("text", reader, "path")]), LinearRegression()).fit(rows, [1.0, 2.0])
    folder = mlflow_models.save(mlflow.sklearn, model, tmp_path / "saved", rows, serialization_format="skops")

    with pytest.raises(InputError, match="holds a CountVectorizer that reads files"):
        import_model(str(folder), tmp_path / "imported")


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 8_000_000)
    check_archive(path)

    monkeypatch.setattr("stagewright.components.runtime.harmless.MOST_UNPACKED", 1_000_000)
    with pytest.raises(InputError, match="unpacks to 8000000 bytes, more than 1000 times its size; it is not loaded"):
        check_archive(path)


@pytest.mark.parametrize("name", ["serving/model.onnx", "serving/signature.json", "manifest.json"])
def test_a_link_that_leads_out_of_a_published_model_is_refused(published: Path, name: str) -> None:
    outside = published.parent / "outside"
    (published / name).rename(outside)
    (published / name).symlink_to(outside)

    with pytest.raises(InputError, match=r"is a link that leads out of .*; a model is read from its own folder alone"):
        model_source.read(str(published))
    with pytest.raises(InputError, match="is a link that leads out of"):
        import_model(str(published), published.parent / "imported")


def test_a_link_within_the_folder_is_followed(published: Path) -> None:
    (published / "serving" / "model.onnx").rename(published / "graph")
    (published / "serving" / "model.onnx").symlink_to("../graph")

    assert model_source.read(str(published)).graph


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: socket.socket(socket.AF_UNIX).bind(path)])
@pytest.mark.parametrize("name", ["serving/model.onnx", "serving/signature.json"])
def test_what_is_no_file_is_refused_without_waiting(published: Path, name: str, make: Any) -> None:
    (published / "manifest.json").unlink()
    (published / name).unlink()
    make(str(published / name))

    with pytest.raises(InputError):
        model_source.read(str(published))
    with pytest.raises(InputError, match=r"is no file but a (named pipe|socket); a model is made of files"):
        import_model(str(published), published.parent / "imported")


def test_an_entry_of_a_repository_that_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")

    with pytest.raises(InputError, match=r"pipe\.json is no file but a named pipe; it is not read"):
        Catalog(repository=str(tmp_path)).find("pipe")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "link", "beside"])
def test_weights_outside_of_the_graph_are_not_read(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    (tmp_path / "secret").write_bytes(bytes(16))
    (inside / "beside").write_bytes(bytes(16))
    (inside / "link").symlink_to("../secret")
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=place)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["prediction"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 4])], [weight],
    )  # fmt: skip
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        onnxruntime.InferenceSession(content)
    if place != "beside":
        (inside / "model.onnx").write_bytes(content)
        with pytest.raises(InputError, match="is not a usable ONNX model"):
            import_model(str(inside / "model.onnx"), tmp_path / "imported")


def test_a_models_process_gets_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "DATABASE_URL", "MY_TOKEN"):
        monkeypatch.setenv(name, "secret")

    assert "secret" not in _environment(1).values()
    assert _environment(3)["OMP_NUM_THREADS"] == "3"
    assert "PATH" in _environment(1)

"""Where a model is read from, and that a file which differs from its manifest is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from support import onnx_models

from stagewright.components.predictor import model_source
from stagewright.components.runtime.errors import InputError


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("churn")
    onnx_models.write_mixed(folder / "serving")
    return folder


@pytest.fixture
def published(exported: Path, tmp_path: Path) -> Path:
    """The folder with a manifest, as publishing leaves it."""
    folder = tmp_path / "published"
    shutil.copytree(exported, folder)
    files = [
        {
            "path": f"serving/{path.name}",
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in (folder / "serving").iterdir()
    ]
    (folder / "manifest.json").write_text(json.dumps({"name": "churn", "version": "v1.0.0", "files": files}))
    return folder


def test_a_model_folder_and_its_serving_folder_are_the_same(exported: Path) -> None:
    whole, serving = model_source.read(str(exported)), model_source.read(f"file://{exported}/serving")

    assert (whole.graph, whole.signature) == (serving.graph, serving.signature)
    assert (whole.name, whole.version) == (None, None)


@pytest.mark.parametrize("below", ["", "serving"])
def test_a_published_model_tells_its_name_and_version(published: Path, below: str) -> None:
    files = model_source.read(str(published / below))

    assert (files.name, files.version) == ("churn", "v1.0.0")


@pytest.mark.parametrize("name", ["model.onnx", "signature.json"])
def test_a_changed_file_is_refused(published: Path, name: str) -> None:
    with (published / "serving" / name).open("ab") as file:
        file.write(b" ")

    with pytest.raises(InputError) as refused:
        model_source.read(str(published))

    assert str(refused.value) == (
        f"{published}/serving/{name} differs from its checksum in manifest.json: publish or download the model again"
    )


def test_a_missing_signature_is_named(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "serving" / "model.onnx", tmp_path)

    with pytest.raises(InputError, match=f"^no signature.json in {tmp_path}: this is not an exported model$"):
        model_source.read(str(tmp_path))


def test_a_manifest_that_is_none_is_refused(published: Path) -> None:
    (published / "manifest.json").write_text("[]")

    with pytest.raises(InputError, match=f"^{published}/manifest.json is not a model's manifest$"):
        model_source.read(str(published))


def test_a_manifest_without_the_graph_is_refused(published: Path) -> None:
    (published / "manifest.json").write_text('{"files": []}')

    with pytest.raises(
        InputError, match=f"^the model at {published} has no serving/model.onnx: it was published without being exported$"
    ):
        model_source.read(str(published))

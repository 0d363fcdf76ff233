"""Another graph of a published version: below it, with a manifest of its own, made from that very version."""

import json
import shutil
from pathlib import Path

import pytest
from support import quantizable

from stagewright.components.export.import_model import import_model
from stagewright.components.optimization.quantization.gate import Limits
from stagewright.components.optimization.quantization.quantize import quantize
from stagewright.components.optimization.quantization.result import Request
from stagewright.components.optimization.quantization.variant import write
from stagewright.components.registry import published
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.manifest import read_manifest
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.publish import publish, publish_variant


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and its int8 variant."""
    root = tmp_path_factory.mktemp("variant")
    model = quantizable.write(root / "model")
    tables.write_table(quantizable.measured(), root / "data.parquet")
    request = Request(methods=("dynamic",), limits=Limits(speedup=0.01), calibration_rows=50, seconds=0.2)
    write(quantize(model, root / "data.parquet", request), model, root / "data.parquet", root / "int8")
    return model, root / "int8"


@pytest.fixture
def store(object_store: str) -> ObjectStore:
    return ObjectStore.from_environment("tests publish models")


def test_variant_lies_below_its_version_with_its_own_manifest(
    folders: tuple[Path, Path], store: ObjectStore, tmp_path: Path
) -> None:
    model, int8 = folders
    version = publish(model, store, name="variant-below", version="v1.0.0")

    done = publish_variant(int8, store, name="variant-below", version="v1.0.0", variant="cpu-int8")

    assert done.uri == "s3://models/variant-below/v1.0.0/variants/cpu-int8/"
    manifest = read_manifest(done.uri, store)
    assert manifest["variant"] == "cpu-int8"
    assert manifest["method"] == "dynamic"
    assert manifest["of"] == version.digest
    assert manifest["digest"] == fingerprint(int8).digest == done.digest
    assert read_manifest(version.uri, store)["digest"] == version.digest
    assert import_model(done.uri, tmp_path / "back").classes == quantizable.CLASSES
    assert [known.version for known in published.unregistered("variant-below", [])] == [published.Version.parse("v1.0.0")]


def test_publishing_again_changes_nothing(folders: tuple[Path, Path], store: ObjectStore) -> None:
    model, int8 = folders
    publish(model, store, name="variant-again", version="v1.0.0")
    first = publish_variant(int8, store, name="variant-again", version="v1.0.0", variant="cpu-int8")

    second = publish_variant(int8, store, name="variant-again", version="v1.0.0", variant="cpu-int8")

    assert (first.changed, second.changed) == (True, False)
    assert publish(model, store, name="variant-again", version="v1.0.0").changed is False


def test_variant_of_a_version_that_is_not_published_is_refused(folders: tuple[Path, Path], store: ObjectStore) -> None:
    with pytest.raises(InputError, match="no model is published at s3://models/absent"):
        publish_variant(folders[1], store, name="absent", version="v1.0.0", variant="cpu-int8")


def test_variant_of_another_model_is_refused(folders: tuple[Path, Path], store: ObjectStore, tmp_path: Path) -> None:
    model, int8 = folders
    publish(model, store, name="variant-other", version="v1.0.0")
    shutil.copytree(int8, tmp_path / "foreign")
    record = json.loads((tmp_path / "foreign/quantization.json").read_text())
    (tmp_path / "foreign/quantization.json").write_text(json.dumps(record | {"of": "sha256:" + "0" * 64}))

    with pytest.raises(InputError, match="was made from another model than s3://models/variant-other"):
        publish_variant(tmp_path / "foreign", store, name="variant-other", version="v1.0.0", variant="cpu-int8")


@pytest.mark.parametrize("variant", ["cpu", "gpu", "int8"])
def test_variant_without_a_graph_of_its_own_is_refused(folders: tuple[Path, Path], store: ObjectStore, variant: str) -> None:
    with pytest.raises(BadParameter, match="parameter 'variant'"):
        publish_variant(folders[1], store, name="variant-below", version="v1.0.0", variant=variant)

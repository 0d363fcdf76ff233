"""Publication: immutable, complete or invisible."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from support.exported_models import change_inputs, write_wine_model

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.storage import ObjectStore, sha256
from stagewright.components.serving.publish import publish


@pytest.fixture
def store(object_store: str) -> ObjectStore:
    return ObjectStore.from_environment("the object store is needed by a test")


@pytest.fixture
def name() -> str:
    return f"wine-{uuid4().hex[:8]}"


def state(store: ObjectStore, uri: str) -> list[tuple[str, int, object]]:
    return [(info.uri, info.size, info.modified) for info in store.list(uri)]


def test_everything_is_published_with_its_checksum(store: ObjectStore, name: str, tmp_path: Path) -> None:
    model = write_wine_model(tmp_path / "model")

    published = publish(model, store, name=name, version="v1.0.0", card="# Wine\n\nKnows wines.\n")

    assert published.changed
    assert published.uri == f"s3://models/{name}/v1.0.0/"
    store.download_folder(published.uri, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    assert (manifest["name"], manifest["version"], manifest["digest"]) == (name, "v1.0.0", published.digest)
    assert manifest["lineage"]["data"] == {"train": "data-1", "validation": "data-1-validation"}
    files = {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert {entry["path"] for entry in manifest["files"]} == files - {"manifest.json"}
    assert {"README.md", "MLmodel", "model.json", "serving/model.onnx", "serving/signature.json"} <= files
    for entry in manifest["files"]:
        assert sha256(tmp_path / "copy" / entry["path"]) == entry["sha256"]
        assert (tmp_path / "copy" / entry["path"]).stat().st_size == entry["size"]


def test_the_card_gets_a_front_matter(store: ObjectStore, name: str, tmp_path: Path) -> None:
    card = "---\nstale: facts\n---\n\n# Wine\n\nA --- inside.\n"

    published = publish(write_wine_model(tmp_path / "m"), store, name=name, version="v1.0.0", card=card)

    text = store.read(f"{published.uri}README.md").decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {"name": name, "version": "v1.0.0", "digest": published.digest, "framework": "sklearn"}
    assert body.strip() == "# Wine\n\nA --- inside."


def test_the_same_content_of_another_run_changes_nothing(store: ObjectStore, name: str, tmp_path: Path) -> None:
    first = publish(write_wine_model(tmp_path / "first"), store, name=name, version="v1.0.0", card="first")
    before = state(store, first.uri)

    second = publish(write_wine_model(tmp_path / "second"), store, name=name, version="v1.0.0", card="second")

    assert not second.changed
    assert (second.uri, second.digest) == (first.uri, first.digest)
    assert state(store, first.uri) == before


def test_another_content_under_the_same_version_is_refused(store: ObjectStore, name: str, tmp_path: Path) -> None:
    first = publish(write_wine_model(tmp_path / "first"), store, name=name, version="v1.0.0")
    before = state(store, first.uri)

    with pytest.raises(InputError, match=r"is already published with another content .*register this one under a new version"):
        publish(write_wine_model(tmp_path / "second", data="data-2"), store, name=name, version="v1.0.0")
    assert state(store, first.uri) == before


def test_what_an_interrupted_attempt_left_is_cleared_away(store: ObjectStore, name: str, tmp_path: Path) -> None:
    store.ensure_bucket("models")
    uri = f"s3://models/{name}/v1.0.0/"
    store.write(f"{uri}serving/model.onnx", b"half of ano")
    store.write(f"{uri}estimator/of-another-attempt.skops", b"?")

    publish(write_wine_model(tmp_path / "model"), store, name=name, version="v1.0.0")

    assert not store.exists(f"{uri}estimator/of-another-attempt.skops")
    assert store.read(f"{uri}serving/model.onnx") == (tmp_path / "model/serving/model.onnx").read_bytes()


def test_an_upload_that_breaks_off_publishes_nothing(
    store: ObjectStore, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_wine_model(tmp_path / "model")
    real = store.upload

    def upload(path: Path, uri: str) -> None:
        if uri.endswith("signature.json"):
            raise KeyboardInterrupt
        real(path, uri)

    with monkeypatch.context() as patch:
        patch.setattr(store, "upload", upload)
        with pytest.raises(KeyboardInterrupt):
            publish(model, store, name=name, version="v1.0.0")
    assert not store.exists(f"s3://models/{name}/v1.0.0/manifest.json")

    assert publish(model, store, name=name, version="v1.0.0").changed


def test_a_damaged_publication_is_reported(store: ObjectStore, name: str, tmp_path: Path) -> None:
    model = write_wine_model(tmp_path / "model")
    published = publish(model, store, name=name, version="v1.0.0")
    store.delete(f"{published.uri}serving/signature.json")

    with pytest.raises(InputError, match=r"is damaged \(serving/signature.json\); remove it and publish it again"):
        publish(model, store, name=name, version="v1.0.0")


def test_the_bucket_is_a_setting(object_store: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_MODELS_BUCKET", "other-models")
    store = ObjectStore.from_environment("the object store is needed by a test")

    assert publish(write_wine_model(tmp_path / "m"), store, name=name, version="v1.0.0").uri.startswith("s3://other-models/")


@pytest.mark.parametrize(
    ("name", "version"), [("Wine", "v1.0.0"), ("wine/../x", "v1.0.0"), ("wine", "1.0"), ("wine", "../v1.0.0")]
)
def test_unusable_names_and_versions_are_refused(store: ObjectStore, tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(BadParameter, match=r"parameter '(name|version)' is"):
        publish(write_wine_model(tmp_path / "m"), store, name=name, version=version)


def test_a_model_that_was_not_exported_is_refused(store: ObjectStore, name: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")

    with pytest.raises(InputError, match=r"no serving/model.onnx in .*: the model is not exported; run export_model"):
        publish(tmp_path, store, name=name, version="v1.0.0")


def test_content_does_not_depend_on_the_run(tmp_path: Path) -> None:
    one, other = (fingerprint(write_wine_model(tmp_path / run)) for run in "ab")

    assert one.digest == other.digest
    assert one.run_id != other.run_id


def test_content_depends_on_what_matters(tmp_path: Path) -> None:
    changed = [
        write_wine_model(tmp_path / "same"),
        write_wine_model(tmp_path / "recipe", recipe="recipe-2"),
        write_wine_model(tmp_path / "data", data="data-2"),
        write_wine_model(tmp_path / "baseline", wrong_baseline=True),
        write_wine_model(tmp_path / "signature"),
    ]
    change_inputs(changed[-1])

    contents = [fingerprint(folder) for folder in changed]

    assert len({one.digest for one in contents}) == len(contents)
    assert contents[-1].signature != contents[0].signature
    assert {one.signature for one in contents[:-1]} == {contents[0].signature}

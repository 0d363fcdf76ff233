"""Where models may come from, and from where not."""

import json
from pathlib import Path

import pytest
from support.published import publish

from stagewright.components.predictor.models.repository_backend import Catalog, Location
from stagewright.components.predictor.wire.errors import UnknownModel, UnknownVersion
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.storage import ObjectStore

PREFIX = "s3://models/catalog-test"


@pytest.fixture
def repository(tmp_path: Path, models: dict[str, Path]) -> Path:
    for version in ("v1.9.0", "v1.10.0", "v1.2.0"):
        publish(models["mixed"], tmp_path, "churn", version)
    publish(models["wine"], tmp_path, "wine", "2")
    publish(models["wine"], tmp_path, "wine", "10")
    (tmp_path / "diabetes.json").write_text(json.dumps({"uri": str(models["diabetes"]), "version": "v3.0.0"}))
    (tmp_path / "notes.txt").write_text("nothing to serve")
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_the_newest_version_is_found(repository: Path, models: dict[str, Path]) -> None:
    catalog = Catalog(repository=str(repository))

    assert catalog.names() == ["churn", "diabetes", "wine"]
    assert catalog.find("churn") == Location("churn", str(repository / "churn" / "v1.10.0"), "v1.10.0")
    assert catalog.find("wine").version == "10"
    assert catalog.find("diabetes") == Location("diabetes", str(models["diabetes"]), "v3.0.0")


def test_a_version_can_be_chosen(repository: Path) -> None:
    catalog = Catalog(repository=str(repository))

    assert catalog.find("churn", "v1.2.0") == Location("churn", str(repository / "churn" / "v1.2.0"), "v1.2.0", chosen=True)
    with pytest.raises(UnknownVersion, match=r"model 'churn' has no version 'v7\.0\.0' here"):
        catalog.find("churn", "v7.0.0")
    with pytest.raises(UnknownVersion):
        catalog.find("diabetes", "v2.0.0")


def test_a_version_that_is_being_written_is_passed_over(repository: Path) -> None:
    (repository / "churn" / "v2.0.0" / "serving").mkdir(parents=True)
    (repository / "churn" / "latest").mkdir()

    assert Catalog(repository=str(repository)).find("churn").version == "v1.10.0"


@pytest.mark.parametrize("name", ["../churn", "churn/v1.2.0", "..", ".git", "/etc", "", "a" * 200, "churn\0", "%2e%2e"])
def test_no_name_leads_out_of_the_repository(repository: Path, name: str) -> None:
    with pytest.raises(UnknownModel):
        Catalog(repository=str(repository)).find(name)


@pytest.mark.parametrize("version", ["../../wine/10", "..", "/", "latest", "v1.10.0/serving"])
def test_no_version_leads_out_of_its_model(repository: Path, version: str) -> None:
    with pytest.raises(UnknownVersion):
        Catalog(repository=str(repository)).find("churn", version)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not an entry; expected {"),
        ("[]", "is not an entry; expected {"),
        ('{"version": "v1"}', "is not an entry; expected {"),
        ('{"uri": 3}', "is not an entry; its uri and version must be strings"),
        (
            '{"uri": "http://elsewhere/model"}',
            "points to 'http://elsewhere/model'; expected s3://BUCKET/NAME/VERSION, or a folder",
        ),
    ],
)
def test_an_entry_that_cannot_be_used(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "bad.json").write_text(content)

    with pytest.raises(InputError) as refused:
        Catalog(repository=str(tmp_path)).find("bad")

    assert str(refused.value).startswith(f"bad.json in the model repository {problem}")


def test_an_entry_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("x" * 70_000)

    with pytest.raises(InputError) as refused:
        Catalog(repository=str(tmp_path)).find("bad")

    assert str(refused.value) == f"{tmp_path / 'bad.json'} has 70000 bytes; at most 65536 are read"


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the model repository .*nowhere cannot be read: No such file or directory"):
        Catalog(repository=str(tmp_path / "nowhere")).names()


def test_a_model_of_the_command_line_is_followed_by_the_repositorys(repository: Path) -> None:
    given = Location("churn", "/elsewhere"), Location("own", "/own")

    catalog = Catalog(given, str(repository))

    assert catalog.names() == ["churn", "diabetes", "own", "wine"]
    assert catalog.given["churn"] == given[0]
    assert catalog.find("churn").version == "v1.10.0"
    assert catalog.find("own") == given[1]


@pytest.fixture
def bucket(object_store: str, repository: Path) -> ObjectStore:
    store = ObjectStore.from_environment("the object store is needed by this test")
    store.ensure_bucket("models")
    for path in repository.rglob("*"):
        if path.is_file():
            store.write(f"{PREFIX}/{path.relative_to(repository).as_posix()}", path.read_bytes())
    return store


def test_a_repository_in_the_object_store(bucket: ObjectStore) -> None:
    bucket.write(f"{PREFIX}/churn/v9.0.0/serving/model.onnx", b"still being published")
    bucket.write(f"{PREFIX}/other.json", json.dumps({"uri": f"{PREFIX}/wine/2"}).encode())
    catalog = Catalog(repository=f"{PREFIX}/")

    assert catalog.names() == ["churn", "diabetes", "other", "wine"]
    assert catalog.find("churn") == Location("churn", f"{PREFIX}/churn/v1.10.0", "v1.10.0")
    assert catalog.find("churn", "v1.2.0").uri == f"{PREFIX}/churn/v1.2.0"
    assert catalog.find("other") == Location("other", f"{PREFIX}/wine/2")
    with pytest.raises(InputError, match="points to '/"):  # who may write to the bucket must not read this machine's disk
        catalog.find("diabetes")
    with pytest.raises(UnknownModel):
        catalog.find("nobody")

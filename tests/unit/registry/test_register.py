"""Registration and promotion in a real MLflow registry."""

from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
import yaml
from mlflow import MlflowClient
from support.exported_models import change_inputs, write_wine_model

from stagewright.components.registry import catalog
from stagewright.components.registry.promote import promote
from stagewright.components.registry.register import register
from stagewright.components.runtime import tracking as tracker
from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable
from stagewright.components.runtime.model import ModelMetadata
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.publish import publish

EVALUATION = {"metrics": {"train": {"accuracy": 1.0}, "test": {"accuracy": 0.975, "roc_auc": None}}}


@pytest.fixture
def client(tracking: str) -> MlflowClient:
    return tracker.client("a test looks")


def model(folder: Path, **changes: str) -> Path:
    """A model that no run of this MLflow made."""
    return write_wine_model(folder, run_id="", **changes)


def only_version(client: MlflowClient, name: str = "wine"):
    [found] = client.search_model_versions(f"name = '{name}'")
    return found


def test_a_version_tells_where_it_comes_from(client: MlflowClient, trained: Path) -> None:
    metadata = ModelMetadata.read(trained)

    version = register(trained, name="wine", card="# Wine\n", evaluation=EVALUATION)

    assert version == "v1.0.0"
    found = only_version(client)
    assert found.run_id == metadata.run_id
    assert found.description == "# Wine\n"
    assert found.tags["version"] == "v1.0.0"
    assert found.tags["model_uri"] == "s3://models/wine/v1.0.0/"
    assert found.tags["recipe_hash"] == metadata.recipe
    assert found.tags["digest"].startswith("sha256:")
    assert metadata.data["train"] in found.tags["data"]
    assert found.tags["test.accuracy"] == "0.975"
    assert "test.roc_auc" not in found.tags
    assert client.get_model_version_by_alias("wine", "challenger").version == found.version


def test_mlflow_loads_the_champion_by_its_alias(client: MlflowClient, trained: Path, wine: pl.DataFrame) -> None:
    import mlflow

    promote(name="wine", version=register(trained, name="wine"))
    rows = wine.drop("cultivar").head(20)

    mlflow.set_tracking_uri(client.tracking_uri)
    loaded = mlflow.pyfunc.load_model("models:/wine@champion")

    answers = loaded.predict(rows.to_pandas())
    assert (answers["label"].to_numpy() == wine["cultivar"].head(20).to_numpy()).mean() > 0.9


def test_the_runs_page_links_to_the_version(client: MlflowClient, trained: Path) -> None:
    register(trained, name="wine")

    found = only_version(client)
    run = client.get_run(found.run_id)
    path = f"registered/{found.tags['digest'].removeprefix('sha256:')[:16]}"
    assert found.source == f"{run.info.artifact_uri}/{path}"
    listed = {artifact.path for artifact in client.list_artifacts(found.run_id, f"{path}/serving")}
    assert f"{path}/serving/model.onnx" in listed


def test_the_same_content_is_registered_once(client: MlflowClient, tmp_path: Path) -> None:
    first = register(model(tmp_path / "first"), name="wine")

    again = register(model(tmp_path / "again"), name="wine")

    assert first == again == "v1.0.0"
    assert only_version(client)


@pytest.mark.parametrize(("changes", "expected"), [({"data": "data-2"}, "v1.0.1"), ({"recipe": "recipe-2"}, "v1.1.0")])
def test_the_next_version_follows_from_the_change(
    client: MlflowClient, tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    register(model(tmp_path / "first"), name="wine")

    assert register(model(tmp_path / "second", **changes), name="wine") == expected

    newest = client.get_model_version_by_alias("wine", "challenger")
    assert newest.tags["parent_version"] == "v1.0.0"
    assert newest.tags["model_uri"] == f"s3://models/wine/{expected}/"


def test_a_changed_signature_is_a_major_version(client: MlflowClient, tmp_path: Path) -> None:
    register(model(tmp_path / "first"), name="wine")
    other = model(tmp_path / "second")
    change_inputs(other)

    assert register(other, name="wine") == "v2.0.0"


def test_a_model_without_a_run_gets_one(client: MlflowClient, tmp_path: Path) -> None:
    register(model(tmp_path / "m"), name="wine")

    run = client.get_run(only_version(client).run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["stagewright.imported"] == "true"


def test_a_model_of_another_mlflow_gets_a_run_that_says_so(client: MlflowClient, tmp_path: Path) -> None:
    folder = write_wine_model(tmp_path / "m", run_id="feedbeef")

    assert register(folder, name="wine") == "v1.0.0"

    found = only_version(client)
    run = client.get_run(found.run_id)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert run.info.status == "FINISHED"
    assert {name: value for name, value in run.data.tags.items() if name.startswith("stagewright.")} == {
        "stagewright.imported": "true",
        "stagewright.source_run_id": "feedbeef",
        "stagewright.source_created": described["utc_time_created"],
        "stagewright.source_model_id": described["model_uuid"],
        "stagewright.framework": "sklearn",
        "stagewright.algorithm": "linear",
        "stagewright.seed": "0",
        "stagewright.training_rows": "142",
    }
    assert found.tags["source_run_id"] == "feedbeef"
    assert found.tags["run_id"] == found.run_id


def test_a_run_that_the_user_names_must_be_there(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run 'feedbeef' in MLflow to register model 'wine' with; check run_id"):
        register(model(tmp_path / "m"), name="wine", run_id="feedbeef")


def test_of_two_with_the_same_version_the_first_counts(client: MlflowClient, tmp_path: Path) -> None:
    """What a process leaves that ended between entering its version and finding that another was faster."""
    register(model(tmp_path / "m"), name="wine")
    first = only_version(client)
    tags = first.tags | {"digest": "sha256:another"}
    second = client.create_model_version("wine", first.source, first.run_id, tags=tags)

    [known] = catalog.versions(client, "wine")
    assert (known.number, str(known.version)) == (str(first.version), "v1.0.0")
    assert register(model(tmp_path / "n", data="data-2"), name="wine") == "v1.0.1"
    client.set_registered_model_alias("wine", "champion", second.version)
    assert [version.number for version in catalog.versions(client, "wine")] == ["1", "2", "3"]


def test_the_bucket_is_a_setting(client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_MODELS_BUCKET", "other-models")

    register(model(tmp_path / "m"), name="wine")

    assert only_version(client).tags["model_uri"] == "s3://other-models/wine/v1.0.0/"


def test_versions_of_somebody_else_are_left_alone(client: MlflowClient, tmp_path: Path) -> None:
    client.create_registered_model("wine")
    client.create_model_version("wine", str(tmp_path), None)

    assert register(model(tmp_path / "m"), name="wine") == "v1.0.0"


@pytest.mark.parametrize("alias", ["", "latest", "v1", "two words"])
def test_aliases_that_mlflow_keeps_for_itself_are_refused(tmp_path: Path, alias: str) -> None:
    with pytest.raises(BadParameter, match=r"parameter 'alias' is .*; expected a word such as 'challenger'"):
        register(tmp_path, name="wine", alias=alias)


def test_a_model_that_was_not_exported_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model is not exported; run export_model or import_model first"):
        register(tmp_path, name="wine")


def test_mlflow_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")

    with pytest.raises(
        ServiceUnavailable, match=r"MLflow does not answer at http://127.0.0.1:1 .*; MLflow keeps the registered"
    ):
        register(model(tmp_path / "m"), name="wine")


def test_promotion_remembers_who_was_champion(client: MlflowClient, tmp_path: Path) -> None:
    first = register(model(tmp_path / "first"), name="wine")
    second = register(model(tmp_path / "second", data="data-2"), name="wine")

    assert promote(name="wine", version=first) is None
    previous = promote(name="wine", version=second)

    assert previous is not None
    assert str(previous.version) == first
    champion = catalog.champion("wine", client=client)
    assert champion is not None
    assert str(champion.version) == second
    assert client.get_model_version("wine", champion.number).tags["previous_champion"] == first


def test_promoting_the_champion_again_changes_nothing(client: MlflowClient, tmp_path: Path) -> None:
    version = register(model(tmp_path / "m"), name="wine")
    promote(name="wine", version=version)

    promote(name="wine", version=version)

    assert "previous_champion" not in only_version(client).tags


def test_unknown_models_and_versions_name_those_that_exist(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model 'wine' is not in the registry, which is empty; register a model first"):
        promote(name="wine", version="v1.0.0")
    register(model(tmp_path / "m"), name="wine")
    register(model(tmp_path / "n", data="data-2"), name="wine")

    with pytest.raises(InputError, match=r"model 'wines' is not in the registry \(did you mean 'wine'\?\); there are wine"):
        promote(name="wines", version="v1.0.0")
    with pytest.raises(InputError, match=r"model 'wine' has no version 'v3.0.0' in the registry; there are v1.0.0, v1.0.1"):
        promote(name="wine", version="v3.0.0")


def test_no_champion_is_none(client: MlflowClient, tmp_path: Path) -> None:
    assert catalog.champion("wine", client=client) is None
    register(model(tmp_path / "m"), name="wine")
    assert catalog.champion("wine", client=client) is None
    challenger = catalog.version_of("wine", "challenger", client=client)
    assert challenger is not None
    assert challenger.aliases == ("challenger",)


@pytest.fixture
def store(object_store: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    return ObjectStore.from_environment("the object store is needed by a test")


def test_versions_that_a_lost_registry_published_are_not_given_again(
    client: MlflowClient, store: ObjectStore, tmp_path: Path
) -> None:
    name = f"wine-{uuid4().hex[:8]}"
    publish(model(tmp_path / "lost"), store, name=name, version="v1.4.0")

    assert register(model(tmp_path / "new", data="data-2"), name=name) == "v1.4.1"
    assert register(model(tmp_path / "recipe", recipe="recipe-2", data="data-2"), name=name) == "v1.5.0"


def test_a_content_that_a_lost_registry_published_gets_its_version_back(
    client: MlflowClient, store: ObjectStore, tmp_path: Path
) -> None:
    name = f"wine-{uuid4().hex[:8]}"
    publish(model(tmp_path / "lost"), store, name=name, version="v1.4.0")

    assert register(model(tmp_path / "found"), name=name) == "v1.4.0"
    assert register(model(tmp_path / "again"), name=name) == "v1.4.0"

    assert only_version(client, name).tags["model_uri"] == f"s3://models/{name}/v1.4.0/"
    assert not publish(model(tmp_path / "published"), store, name=name, version="v1.4.0").changed


def test_a_damaged_publication_is_told(client: MlflowClient, store: ObjectStore, tmp_path: Path) -> None:
    name = f"wine-{uuid4().hex[:8]}"
    store.ensure_bucket("models")
    store.write(f"s3://models/{name}/v1.0.0/manifest.json", b"{}")

    with pytest.raises(
        InputError, match=r"v1.0.0/manifest.json is not the manifest of a published model; remove what is there"
    ):
        register(model(tmp_path / "m"), name=name)

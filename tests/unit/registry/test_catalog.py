"""Which models, versions and aliases there are, in a real MLflow registry of versions that were entered by hand."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.exported_models import write_wine_model

from stagewright.components.registry import catalog
from stagewright.components.registry.promote import promote
from stagewright.components.registry.register import check_alias, register
from stagewright.components.runtime import tracking as tracker
from stagewright.components.runtime import tracking_limits as limits
from stagewright.components.runtime.errors import BadParameter, InputError


@pytest.fixture
def client(tracking: str) -> MlflowClient:
    return tracker.client("a test looks")


def enter(client: MlflowClient, *versions: str, name: str = "wine") -> None:
    """Versions as registering would tag them, each with a content of its own."""
    client.create_registered_model(name)
    for version in versions:
        client.create_model_version(name, "s3://nowhere/", tags={"version": version, "digest": f"sha256:{version}"})


def test_versions_come_in_the_order_of_their_versions(client: MlflowClient) -> None:
    enter(client, "v1.10.0", "v1.2.0", "v1.9.0")
    client.create_model_version("wine", "s3://nowhere/", tags={"version": "v3.0.0"})  # of somebody else: no digest
    client.create_model_version("wine", "s3://nowhere/", tags={"digest": "sha256:3"})

    assert [(str(one.version), one.number) for one in catalog.versions(client, "wine")] == [
        ("v1.2.0", "2"), ("v1.9.0", "3"), ("v1.10.0", "1"),
    ]  # fmt: skip
    assert catalog.versions(client, "beer") == []


def test_a_version_is_found_by_its_version_its_number_and_its_alias(client: MlflowClient) -> None:
    enter(client, "v1.0.0", "v1.1.0")
    client.set_registered_model_alias("wine", "champion", "2")
    client.set_registered_model_alias("wine", "blue", "2")

    assert {catalog.find_version(client, "wine", name).number for name in ("v1.1.0", "2", "@champion", "blue")} == {"2"}
    assert catalog.find_version(client, "wine", "v1.1.0").aliases == ("blue", "champion")
    assert catalog.find_version(client, "wine", "1").aliases == ()


@pytest.mark.parametrize("count", [10, 11])
def test_the_newest_ten_versions_are_named(client: MlflowClient, count: int) -> None:
    enter(client, *(f"v1.0.{patch}" for patch in range(count)))

    with pytest.raises(InputError) as refused:
        catalog.find_version(client, "wine", "v9.9.9")

    named = ", ".join(f"v1.0.{patch}" for patch in range(count - 10, count))
    assert str(refused.value) == f"model 'wine' has no version 'v9.9.9' in the registry; there are {named}"


@pytest.mark.parametrize(("count", "rest"), [(10, ""), (11, ", ...")])
def test_ten_models_are_named(client: MlflowClient, count: int, rest: str) -> None:
    for number in reversed(range(count)):
        client.create_registered_model(f"m{number:02}")

    with pytest.raises(InputError) as refused:
        catalog.find_version(client, "zzz", "v1.0.0")

    named = ", ".join(f"m{number:02}" for number in range(10))
    assert str(refused.value) == f"model 'zzz' is not in the registry; there are {named}{rest}"
    assert catalog.models(client) == [f"m{number:02}" for number in range(count)]


def test_all_versions_are_read_however_many_pages_they_fill(client: MlflowClient) -> None:
    """MLflow is asked for 200 at a time."""
    enter(client, *(f"v1.0.{patch}" for patch in range(203)))

    assert [one.version.patch for one in catalog.versions(client, "wine")] == [*range(203)]


def test_another_alias_remembers_its_own_previous_version(client: MlflowClient) -> None:
    enter(client, "v1.0.0", "v1.1.0")

    assert promote(name="wine", version="v1.0.0", alias="staging") is None
    previous = promote(name="wine", version="v1.1.0", alias="staging")
    again = promote(name="wine", version="v1.1.0", alias="staging")

    assert previous is not None
    assert (previous.number, str(previous.version)) == ("1", "v1.0.0")
    assert again is not None
    assert again.number == "2"
    tags = client.get_model_version("wine", "2").tags
    assert tags["previous_staging"] == "v1.0.0"
    assert "previous_champion" not in tags
    assert int(client.get_model_version_by_alias("wine", "staging").version) == 2


@pytest.mark.parametrize("alias", ["challenger", "a", "v1x", "vv1", "latests", "Blue_green-2", "a" * limits.ALIAS])
def test_an_alias_is_a_word(alias: str) -> None:
    check_alias(alias)


@pytest.mark.parametrize("alias", ["V2", "v12", "1a", "-a", "a b", "latest", "\u00e4"])
def test_what_mlflow_keeps_for_itself_is_no_alias(alias: str) -> None:
    with pytest.raises(BadParameter, match=r"expected a word such as 'challenger' or 'champion'$"):
        check_alias(alias)


def test_an_alias_has_a_length() -> None:
    with pytest.raises(BadParameter, match=rf"'{'a' * 20}\.\.\.'; expected a word of at most {limits.ALIAS} characters$"):
        check_alias("a" * (limits.ALIAS + 1))


def test_a_version_says_how_it_differs_and_from_what(client: MlflowClient, tmp_path: Path) -> None:
    measured = {"metrics": {"test": {f"m{number:02}": number / 2 for number in range(21)} | {"text": "x"}}}
    for at, changes in enumerate(({}, {"data": "data-2"}, {"data": "data-2", "recipe": "recipe-2"})):
        register(write_wine_model(tmp_path / str(at), run_id="", **changes), name="wine", evaluation=measured)

    found = [client.get_model_version("wine", str(number)).tags for number in (1, 2, 3)]

    assert [tags["change"] for tags in found] == ["first", "patch", "minor"]
    assert [tags["parent_version"] for tags in found] == ["", "v1.0.0", "v1.0.1"]
    told = sorted(name for name in found[0] if name.startswith("test."))
    assert told == [f"test.m{number:02}" for number in range(20)]
    assert found[0]["test.m03"] == "1.5"

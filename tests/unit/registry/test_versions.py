"""Which version a model gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.registry.versions import Registered, decide
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.fingerprint import Fingerprint
from stagewright.components.runtime.naming import Version, model_name, published_uri


def fingerprint(signature: int, recipe: int, data: int) -> Fingerprint:
    return Fingerprint(f"{signature}/{recipe}/{data}", str(signature), str(recipe), {"train": str(data)})


def register(model: Fingerprint, registered: list[Registered]) -> Version:
    """Decide, and record the decision as the registry would."""
    decision = decide(model, registered)
    if decision.existing is None:
        number = str(len(registered) + 1)
        registered.append(Registered("m", number, decision.version, model.digest, model.signature, model.recipe, ""))
    return decision.version


def versions(*models: tuple[int, int, int]) -> list[str]:
    registered: list[Registered] = []
    return [str(register(fingerprint(*model), registered)) for model in models]


@pytest.mark.parametrize(
    ("second", "expected"),
    [((1, 1, 1), "v1.0.0"), ((1, 1, 2), "v1.0.1"), ((1, 2, 1), "v1.1.0"), ((2, 1, 1), "v2.0.0"), ((2, 2, 2), "v2.0.0")],
    ids=["nothing", "data", "recipe", "signature", "everything"],
)
def test_version_follows_from_what_changed(second: tuple[int, int, int], expected: str) -> None:
    assert versions((1, 1, 1), second) == ["v1.0.0", expected]


def test_a_change_resets_the_smaller_numbers() -> None:
    assert versions((1, 1, 1), (1, 1, 2), (1, 2, 2), (1, 2, 3), (2, 2, 3)) == [
        "v1.0.0", "v1.0.1", "v1.1.0", "v1.1.1", "v2.0.0",
    ]  # fmt: skip


def test_going_back_to_an_earlier_recipe_with_new_data_is_a_change() -> None:
    assert versions((1, 1, 1), (1, 2, 1), (1, 1, 2)) == ["v1.0.0", "v1.1.0", "v1.2.0"]


def test_an_earlier_content_keeps_its_version() -> None:
    assert versions((1, 1, 1), (1, 1, 2), (1, 1, 1)) == ["v1.0.0", "v1.0.1", "v1.0.0"]


def known(version: str, model: Fingerprint, number: str = "") -> Registered:
    return Registered("m", number, Version.parse(version), model.digest, model.signature, model.recipe, "")


def test_the_parent_is_the_highest_version_in_whatever_order_they_come() -> None:
    """What was published and never registered comes after what the registry lists."""
    newest, published = known("v1.2.0", fingerprint(1, 2, 1), "1"), known("v1.0.0", fingerprint(1, 1, 1))

    decision = decide(fingerprint(1, 2, 2), [newest, published])

    assert (str(decision.version), decision.change, decision.parent, decision.existing) == ("v1.2.1", "patch", newest, None)


def test_a_content_that_stands_under_two_versions_keeps_the_lower() -> None:
    twice = [
        known("v1.1.0", fingerprint(1, 1, 1)),
        known("v1.0.0", fingerprint(1, 1, 1), "1"),
        known("v1.2.0", fingerprint(1, 2, 1)),
    ]

    decision = decide(fingerprint(1, 1, 1), twice)

    assert (str(decision.version), decision.change, decision.existing, decision.parent) == ("v1.0.0", None, twice[1], None)


def test_the_first_version_follows_nothing() -> None:
    decision = decide(fingerprint(1, 1, 1), [])

    assert (str(decision.version), decision.change, decision.existing, decision.parent) == ("v1.0.0", None, None, None)


@given(st.lists(st.tuples(*[st.integers(1, 3)] * 3), max_size=30))
def test_versions_never_decrease_and_belong_to_one_content(models: list[tuple[int, int, int]]) -> None:
    registered: list[Registered] = []
    given_to: dict[tuple[int, int, int], Version] = {}
    newest = Version(0, 0, 0)
    for model in models:
        version = register(fingerprint(*model), registered)
        if model in given_to:
            assert version == given_to[model]
        else:
            assert version > newest
            newest = version
        given_to[model] = version
    assert len(set(given_to.values())) == len(given_to)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_versions_survive_their_text(major: int, minor: int, patch: int) -> None:
    version = Version(major, minor, patch)
    assert Version.parse(str(version)) == version


def test_versions_are_ordered_by_number_not_by_text() -> None:
    assert Version.parse("v1.10.0") > Version.parse("v1.9.0")


@pytest.mark.parametrize("text", ["1.0.0", "v1.0", "v01.0.0", "v1.0.0-rc1", "v1.0.0\n", "latest", ""])
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(BadParameter, match=r"parameter 'version' is .*; expected vMAJOR.MINOR.PATCH, such as 'v1.0.0'"):
        Version.parse(text)


@pytest.mark.parametrize("name", ["Churn", "-churn", "churn-", "1churn", "chu rn", "churn_2", "", "a" * 64, "churn\n"])
def test_names_that_a_service_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(BadParameter, match=r"parameter 'name' is .*; expected lower-case letters, digits and '-'"):
        model_name(name)


def test_a_published_model_lies_under_name_and_version() -> None:
    assert published_uri("models", "churn", "v1.2.3") == "s3://models/churn/v1.2.3/"

"""Settings from the environment."""

from pathlib import Path

import pytest

from stagewright.components.runtime.errors import MissingSetting
from stagewright.components.runtime.settings import LocalSettings, StorageSettings, load

NAMES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_each_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")

    with pytest.raises(MissingSetting) as caught:
        load(StorageSettings, "a model is published")

    assert str(caught.value) == "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set; a model is published"


def test_setting_with_two_names_is_asked_for_by_the_common_one() -> None:
    with pytest.raises(
        MissingSetting, match=r"^AWS_ENDPOINT_URL and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set; tests$"
    ):
        load(StorageSettings, "tests")


def test_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES[1:4], ("http://store:9000", "key", "hush"), strict=True):
        monkeypatch.setenv(name, value)

    settings = load(StorageSettings, "tests")

    assert settings.endpoint == "http://store:9000"
    assert settings.secret_key.get_secret_value() == "hush"
    assert "hush" not in repr(settings)


def test_home_is_a_folder_of_the_user_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGEWRIGHT_HOME", raising=False)

    assert load(LocalSettings, "tests").home == Path.home() / ".stagewright"

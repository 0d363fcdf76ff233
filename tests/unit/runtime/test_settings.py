"""Settings from the environment."""

from pathlib import Path

import pytest

from stagewright.components.runtime.errors import InputError, MissingSetting
from stagewright.components.runtime.settings import LocalSettings, StorageSettings, load_settings

NAMES = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_SESSION_TOKEN",
)  # fmt: skip
STORE = {"AWS_ENDPOINT_URL": "http://store:9000", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_each_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")

    with pytest.raises(MissingSetting) as caught:
        load_settings(StorageSettings, "a model is published")

    assert str(caught.value) == "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set; a model is published"


def test_setting_with_two_names_is_asked_for_by_the_common_one() -> None:
    with pytest.raises(
        MissingSetting, match=r"^AWS_ENDPOINT_URL and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set; tests$"
    ):
        load_settings(StorageSettings, "tests")


def test_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, STORE | {"AWS_SESSION_TOKEN": "token"})

    settings = load_settings(StorageSettings, "tests")

    assert settings.endpoint == "http://store:9000"
    assert settings.secret_key.get_secret_value() == "hush"
    assert settings.session_token is not None
    assert settings.session_token.get_secret_value() == "token"
    assert "hush" not in repr(settings)
    assert "token" not in repr(settings).replace("session_token", "")


@pytest.mark.parametrize("name", [*STORE, "AWS_REGION", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("blank", ["\n", " ", "\r\n", "\t"])
def test_blanks_around_a_value_are_removed(monkeypatch: pytest.MonkeyPatch, name: str, blank: str) -> None:
    given = STORE | {"AWS_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "token"}
    set_all(monkeypatch, given | {name: f"{blank}{given[name]}{blank}"})

    settings = load_settings(StorageSettings, "tests")

    assert settings.session_token is not None
    assert (settings.endpoint, settings.access_key, settings.secret_key.get_secret_value()) == tuple(STORE.values())
    assert (settings.region, settings.session_token.get_secret_value()) == ("eu-west-1", "token")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"])
@pytest.mark.parametrize("value", ["a\nb", "a b", "schlüssel"])
def test_value_that_no_header_may_hold_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    set_all(monkeypatch, STORE | {name: value})

    with pytest.raises(InputError) as caught:
        load_settings(StorageSettings, "a model is published")

    assert str(caught.value) == (
        f"the environment variable {name} cannot be used: it holds a blank, a line break or a character that is not ASCII; "
        "a model is published"
    )


@pytest.mark.parametrize(
    "endpoint",
    ["store:9000", "ftp://store", "http://", "http://store/path", "http://store?x=1", "http://store#x", "http://store:port",
     "http://store:99999", "http://store:0", "http://[::1", "http://st ore"],
)  # fmt: skip
def test_endpoint_that_names_no_server_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    set_all(monkeypatch, STORE | {"AWS_ENDPOINT_URL": endpoint})

    with pytest.raises(InputError) as caught:
        load_settings(StorageSettings, "a model is published")

    assert str(caught.value) == (
        f"the environment variable AWS_ENDPOINT_URL cannot be used: it is {endpoint!r}; expected a URL without a path, "
        "such as http://127.0.0.1:9000; a model is published"
    )


@pytest.mark.parametrize("endpoint", ["http://store", "https://store:443/", "http://[::1]:9000", "http://10.0.0.1:9000"])
def test_endpoint_of_a_server_is_taken(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    set_all(monkeypatch, STORE | {"AWS_ENDPOINT_URL": endpoint})

    assert load_settings(StorageSettings, "tests").endpoint == endpoint


def test_password_in_an_endpoint_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, STORE | {"AWS_ENDPOINT_URL_S3": "http://u:geheim@store:9000"})

    with pytest.raises(InputError) as caught:
        load_settings(StorageSettings, "tests")

    assert str(caught.value) == (
        "the environment variable AWS_ENDPOINT_URL_S3 cannot be used: it holds a user name; give the key in "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; tests"
    )


def test_home_is_a_folder_of_the_user_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGEWRIGHT_HOME", raising=False)

    assert load_settings(LocalSettings, "tests").home == Path.home() / ".stagewright"

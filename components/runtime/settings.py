"""Settings from the environment, by the names that the AWS and MLflow clients already use."""

import os
import re
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stagewright.components.runtime.errors import InputError, MissingSetting

AnySettings = TypeVar("AnySettings", bound=BaseSettings)

_SHOWN = 200

# What a header or an address may hold: visible ASCII. A Secret made with `echo` ends in a newline, which is taken away.
_VISIBLE = re.compile(r"[!-~]*")


class EnvironmentSettings(BaseSettings):
    """Settings from environment variables. Blanks around a value are removed; an empty variable counts as not set."""

    model_config = SettingsConfigDict(case_sensitive=True, extra="ignore", env_ignore_empty=True)

    @field_validator("*", mode="before")
    @classmethod
    def _stripped(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value


class StorageSettings(EnvironmentSettings):
    """Where the object store is and how to sign in.

    Attributes:
        session_token: Of temporary credentials, as STS, IRSA and single sign-on give them.
    """

    endpoint: str = Field(validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    access_key: str = Field(validation_alias="AWS_ACCESS_KEY_ID")
    secret_key: SecretStr = Field(validation_alias="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN")
    region: str = Field("us-east-1", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    models_bucket: str = Field("models", validation_alias="STAGEWRIGHT_MODELS_BUCKET")

    @field_validator("access_key", "secret_key", "session_token", "region", mode="before")
    @classmethod
    def _fits_a_header(cls, value: Any) -> Any:
        if isinstance(value, str) and not _VISIBLE.fullmatch(value.strip()):
            raise ValueError("it holds a blank, a line break or a character that is not ASCII")
        return value

    @field_validator("endpoint")
    @classmethod
    def _names_a_server(cls, value: str) -> str:
        if "@" in value:  # never shown: it holds a password
            raise ValueError("it holds a user name; give the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        try:
            url = urlsplit(value)
            usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and _VISIBLE.fullmatch(value)
        except ValueError:  # a port that is no number, a broken IPv6 address
            usable = False
        if not usable or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(f"it is {value[:_SHOWN]!r}; expected a URL without a path, such as http://127.0.0.1:9000")
        return value


class TrackingSettings(EnvironmentSettings):
    """Where runs and registered models are recorded."""

    tracking_uri: str = Field(validation_alias="MLFLOW_TRACKING_URI")


class LocalSettings(EnvironmentSettings):
    """Where a laptop keeps its services, runs and deployed models, and how it starts steps."""

    home: Path = Field(Path.home() / ".stagewright", validation_alias="STAGEWRIGHT_HOME")
    warm_steps: bool = Field(True, validation_alias="STAGEWRIGHT_WARM_STEPS")


def load_settings(settings: type[AnySettings], purpose: str) -> AnySettings:
    """Read settings from the environment.

    Args:
        settings: One of the classes above.
        purpose: What they are needed for, as the end of a sentence: "the object store is needed to publish a model".

    Raises:
        MissingSetting: Naming every variable that is not set.
        InputError: For a variable with an unusable value.
    """
    try:
        return settings()
    except ValidationError as error:
        missing = [_usual_name(settings, str(issue["loc"][0])) for issue in error.errors() if issue["type"] == "missing"]
        if missing:
            raise MissingSetting(missing, purpose) from None
        first = error.errors()[0]
        reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        name = _name_in_use(settings, str(first["loc"][0]))
        raise InputError(f"the environment variable {name} cannot be used: {reason}; {purpose}") from None


def _usual_name(settings: type[BaseSettings], first_name: str) -> str:
    """The name to suggest where a setting has several: the last, which is the common one."""
    return _names(settings, first_name)[-1]


def _name_in_use(settings: type[BaseSettings], first_name: str) -> str:
    """The variable that gave a setting its value, where it has several names."""
    names = _names(settings, first_name)
    return next((name for name in names if os.environ.get(name)), first_name)


def _names(settings: type[BaseSettings], first_name: str) -> list[str]:
    for field in settings.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices) and alias.choices[0] == first_name:
            return [str(choice) for choice in alias.choices]
    return [first_name]

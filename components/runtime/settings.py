"""Settings from the environment, by the names that the AWS and MLflow clients already use."""

from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stagewright.components.runtime.errors import InputError, MissingSetting

AnySettings = TypeVar("AnySettings", bound=BaseSettings)

_FROM_ENVIRONMENT = SettingsConfigDict(case_sensitive=True, extra="ignore", env_ignore_empty=True)


class StorageSettings(BaseSettings):
    """Where the object store is and how to sign in."""

    model_config = _FROM_ENVIRONMENT

    endpoint: str = Field(validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    access_key: str = Field(validation_alias="AWS_ACCESS_KEY_ID")
    secret_key: SecretStr = Field(validation_alias="AWS_SECRET_ACCESS_KEY")
    region: str = Field("us-east-1", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    models_bucket: str = Field("models", validation_alias="STAGEWRIGHT_MODELS_BUCKET")


class TrackingSettings(BaseSettings):
    """Where runs and registered models are recorded."""

    model_config = _FROM_ENVIRONMENT

    tracking_uri: str = Field(validation_alias="MLFLOW_TRACKING_URI")


class LocalSettings(BaseSettings):
    """Where a laptop keeps its services, runs and deployed models."""

    model_config = _FROM_ENVIRONMENT

    home: Path = Field(Path.home() / ".stagewright", validation_alias="STAGEWRIGHT_HOME")


def load(settings: type[AnySettings], purpose: str) -> AnySettings:
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
        raise InputError(f"environment variable {first['loc'][0]}: {first['msg']}; {purpose}") from None


def _usual_name(settings: type[BaseSettings], first_name: str) -> str:
    """The name to suggest where a setting has several: the last, which is the common one."""
    for field in settings.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices) and alias.choices[0] == first_name:
            return str(alias.choices[-1])
    return first_name

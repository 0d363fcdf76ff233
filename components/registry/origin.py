"""The MLflow run of a registered version: the training run, or a new run that records the origin of the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.registry.catalog import PURPOSE, Tag
from stagewright.components.runtime import logs, tracking
from stagewright.components.runtime.documents import read_yaml
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import Fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "stagewright."
IMPORTED, SOURCE_RUN, SOURCE_CREATED, SOURCE_MODEL = (
    f"{PREFIX}{name}" for name in ("imported", "source_run_id", "source_created", "source_model_id")
)


def run_of(client: "MlflowClient", name: str, model: Fingerprint, folder: Path, given: str) -> tuple[str, dict[str, str]]:
    """The run to register a model with, and tags for the version of a model from elsewhere.

    A model whose run is in another MLflow (copied, imported) gets a new run here, tagged with the model's own record of its
    training.

    Args:
        given: The run that the user names, or empty.

    Raises:
        InputError: If there is no such run.
    """
    if given:
        if not _exists(client, given):
            raise InputError(
                f"there is no run '{given}' in MLflow to register model '{name}' with; check run_id and MLFLOW_TRACKING_URI, "
                "or leave run_id out"
            )
        return given, {}
    if model.run_id and _exists(client, model.run_id):
        return model.run_id, {}
    tags = {IMPORTED: "true", **_description(folder), **{f"{PREFIX}{key}": str(value) for key, value in _told(model).items()}}
    if model.run_id:
        tags[SOURCE_RUN] = model.run_id
    with tracking.run(name, run_name=f"import {name}", tags=tags, purpose=PURPOSE) as run:
        logs.event("run_made_for_model", name=name, run_id=run.run_id, source_run_id=tags.get(SOURCE_RUN, ""))
        return run.run_id, {Tag.SOURCE_RUN: tags[SOURCE_RUN]} if SOURCE_RUN in tags else {}


def _exists(client: "MlflowClient", run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    with tracking.mlflow_errors(PURPOSE):
        try:
            client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in {
                "RESOURCE_DOES_NOT_EXIST",
                "INVALID_PARAMETER_VALUE",
            }:  # the latter for an invalid id
                return False
            raise
    return True


def _told(model: Fingerprint) -> dict[str, Any]:
    return {key: value for key, value in model.origin.items() if key in ("framework", "algorithm", "seed", "training_rows")}


def _description(folder: Path) -> dict[str, str]:
    """The origin in the model's MLflow description; empty if there is none."""
    try:
        document = read_yaml((folder / "MLmodel").read_text())
        found = {
            SOURCE_RUN: document.get("run_id"),
            SOURCE_CREATED: document.get("utc_time_created"),
            SOURCE_MODEL: document.get("model_id") or document.get("model_uuid"),
        }
    except (OSError, ValueError, AttributeError):
        return {}
    return {key: str(value) for key, value in found.items() if value}

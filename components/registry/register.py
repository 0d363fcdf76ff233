"""Registration of an exported model in MLflow, with the version it deserves and where it comes from.

The version's source is the model's copy among the artifacts of its run, not the published folder: so the run's page links to
the version, `mlflow.pyfunc.load_model("models:/churn@champion")` works with nothing but MLflow's address, and registering
needs no publication first. Where it is published stands in the tag `model_uri`.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_settings import BaseSettings

from stagewright.components.registry import catalogue
from stagewright.components.registry.catalogue import CHALLENGER, PURPOSE, Tag
from stagewright.components.registry.published import unregistered
from stagewright.components.registry.versions import Decision, decide
from stagewright.components.runtime import logs, settings, tracking
from stagewright.components.runtime.content import Content, content
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.naming import model_name, published_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "registered"
_METRICS_SHOWN = 20


class ModelsBucket(BaseSettings):
    """The one thing that registering must know of the object store: the bucket's name, not how to sign in."""

    model_config = settings.StorageSettings.model_config
    models_bucket: str = Field("models", validation_alias="STAGEWRIGHT_MODELS_BUCKET")


def register(
    folder: str | Path,
    *,
    name: str,
    run_id: str | None = None,
    alias: str = CHALLENGER,
    card: str = "",
    evaluation: dict[str, Any] | None = None,
) -> str:
    """Register an exported model; its version, such as `v1.2.0`.

    Args:
        folder: The model, with `serving/`.
        run_id: The MLflow run that made it; by default the one that the model names, or a new one for a model without.
        alias: Set on the version: challenger or champion.
        card: The model card, which becomes the version's description.
        evaluation: The evaluation's result; its test metrics become tags.
    """
    model_name(name)
    _check_alias(alias)
    client = tracking.client(PURPOSE)
    model = content(folder)
    known = catalogue.versions(client, name)
    decision = decide(model, [*known, *unregistered(name, known)])
    version = str(decision.version)
    if decision.existing is not None and decision.existing.number:
        number = decision.existing.number
        logs.event("model_already_registered", name=name, version=version, digest=model.digest)
    else:
        run = _run(client, run_id or model.run_id, name)
        number = _create(client, Path(folder), name, run, decision, model, card, evaluation or {})
        logs.event("model_registered", name=name, version=version, change=decision.change, run_id=run)
    set_alias(client, name, alias, number)
    return version


def set_alias(client: "MlflowClient", name: str, alias: str, number: str) -> None:
    """Point an alias to a version."""
    with tracking.answering(PURPOSE):
        client.set_registered_model_alias(name, alias, number)


def _create(
    client: "MlflowClient", folder: Path, name: str, run_id: str, decision: Decision, model: Content, card: str,
    evaluation: dict[str, Any],
) -> str:  # fmt: skip
    version = str(decision.version)
    path = f"{ARTIFACTS}/{version}"
    tags = {
        Tag.VERSION: version,
        Tag.DIGEST: model.digest,
        Tag.SIGNATURE: model.signature,
        Tag.RECIPE: model.recipe,
        Tag.DATA: json.dumps(model.data, sort_keys=True),
        Tag.RUN_ID: run_id,
        Tag.MODEL_URI: published_uri(settings.load(ModelsBucket, PURPOSE).models_bucket, name, version),
        Tag.CHANGE: decision.change or ("recovered" if decision.existing else "first"),
        Tag.PARENT: str(decision.parent.version) if decision.parent else "",
        **{f"test.{metric}": f"{value:.6g}" for metric, value in _test_metrics(evaluation).items()},
    }
    with tracking.answering(PURPOSE):
        client.log_artifacts(run_id, str(folder), path)
        _ensure_model(client, name)
        source = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{path}"
        created = client.create_model_version(name, source, run_id, tags=tags, description=card or None)
    return str(created.version)


def _run(client: "MlflowClient", run_id: str, name: str) -> str:
    """The run that made the model; a model that was made elsewhere gets one, so that each version has a run to show."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        with tracking.run(name, run_name=f"import {name}", tags={"stagewright.imported": "true"}, purpose=PURPOSE) as run:
            return run.run_id
    with tracking.answering(PURPOSE):
        try:
            return str(client.get_run(run_id).info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    raise InputError(f"there is no run '{run_id}' in MLflow, which the model '{name}' says made it; check MLFLOW_TRACKING_URI")


def _ensure_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _check_alias(alias: str) -> None:
    if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"latest|[vV]\d+", alias):  # what MLflow keeps for itself
        raise BadParameter("alias", got=alias, expected="a word such as 'challenger' or 'champion'")


def _test_metrics(evaluation: dict[str, Any]) -> dict[str, float]:
    metrics = (evaluation.get("metrics") or {}).get("test") or {}
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return dict(list(numbers.items())[:_METRICS_SHOWN])

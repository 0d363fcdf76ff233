"""Registration of an exported model in MLflow, with its semantic version and its origin.

The source of a version is the model's copy among the artifacts of its run, not the published folder. So the run's page links to
the version, `mlflow.pyfunc.load_model("models:/churn@champion")` needs only MLflow's address, and a model can be registered
before it is published. The tag `model_uri` holds the published address.

Several processes may register under one name at the same time. MLflow has no lock, but it numbers versions in sequence. So each
process decides, creates its version, and checks whether an earlier one is the same. If so, it deletes its own and decides
again. Nothing has to be undone if a process ends in between: see `catalog.versions`.
"""

import json
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from stagewright.components.registry import catalog, origin
from stagewright.components.registry.catalog import CHALLENGER, PURPOSE, Tag
from stagewright.components.registry.published import unregistered
from stagewright.components.registry.versions import Decision, decide
from stagewright.components.runtime import logs, settings, tracking
from stagewright.components.runtime import tracking_limits as limits
from stagewright.components.runtime.errors import BadParameter, ServiceUnavailable
from stagewright.components.runtime.fingerprint import Fingerprint, fingerprint
from stagewright.components.runtime.naming import model_name, published_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS, CARDS = "registered", "cards"  # folders among the artifacts of the run
DIGEST_SHOWN = 16  # hexadecimal digits
ATTEMPTS, PAUSE_SECONDS = 30, 0.5  # of simultaneous registrations, one succeeds each time
_METRICS_SHOWN = 20


class ModelsBucket(settings.EnvironmentSettings):
    """The only setting of the object store that registration needs: the bucket's name, without credentials."""

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
    """Register an exported model and return its version, e.g. `v1.2.0`.

    Args:
        folder: The model, with `serving/`.
        run_id: MLflow run of the training. Default: the run that the model names, or, if it is not in this MLflow, a new run
            that records the model's origin.
        alias: Alias to set on the version: challenger or champion.
        card: The model card. It becomes the version's description, shortened to MLflow's limit; the run's artifacts hold all of
            it.
        evaluation: JSON of the evaluation; its test metrics become tags.

    Raises:
        InputError: If the model is not exported, or there is no such run.
        BadParameter: If the name or the alias is invalid.
        ServiceUnavailable: If MLflow does not answer, or too many processes register under this name at once.
    """
    model_name(name)
    check_alias(alias)
    client = tracking.client(PURPOSE)
    model = fingerprint(folder)
    entry = _Entry(client, Path(folder), name, model, run_id or "", card, evaluation or {})
    for _ in range(ATTEMPTS):
        known = catalog.versions(client, name)
        decision = decide(model, [*known, *unregistered(name, known)])
        version = str(decision.version)
        if decision.existing is not None and decision.existing.number:
            logs.event("model_already_registered", name=name, version=version, digest=model.digest)
            set_alias(client, name, alias, decision.existing.number)
            return version
        number = entry.create(decision)
        if _stands(client, name, number, model):
            logs.event("model_registered", name=name, version=version, change=decision.change, run_id=entry.run_id)
            set_alias(client, name, alias, number)
            return version
        with tracking.mlflow_errors(PURPOSE):
            client.delete_model_version(name, number)
        logs.event("version_taken_meanwhile", name=name, version=version)
        time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311  nothing secret
    raise ServiceUnavailable(
        f"model '{name}' was not registered: others registered under this name {ATTEMPTS} times at the same moment; try again"
    )


def set_alias(client: "MlflowClient", name: str, alias: str, number: str) -> None:
    """Move an alias to a version."""
    with tracking.mlflow_errors(PURPOSE):
        client.set_registered_model_alias(name, alias, number)


class _Entry:
    """Registry entry of one model: its run and files are created once, its version as often as needed.

    Args:
        given: The run that the user names, or empty.
    """

    def __init__(
        self, client: "MlflowClient", folder: Path, name: str, model: Fingerprint, given: str, card: str,
        evaluation: dict[str, Any],
    ) -> None:  # fmt: skip
        self._client, self._folder, self._name, self._model, self._given = client, folder, name, model, given
        self._card, self._evaluation = card, evaluation
        self.run_id, self._source = "", ""
        self._origin: dict[str, str] = {}

    def create(self, decision: Decision) -> str:
        """Create a version; returns MLflow's number of it."""
        if not self.run_id:
            self.run_id, self._origin = origin.run_of(self._client, self._name, self._model, self._folder, self._given)
            self._source = self._keep_files()
        version = str(decision.version)
        tags = {
            Tag.VERSION: version,
            Tag.DIGEST: self._model.digest,
            Tag.SIGNATURE: self._model.signature,
            Tag.RECIPE: self._model.recipe,
            Tag.DATA: json.dumps(self._model.data, sort_keys=True),
            Tag.RUN_ID: self.run_id,
            Tag.MODEL_URI: published_uri(settings.load_settings(ModelsBucket, PURPOSE).models_bucket, self._name, version),
            Tag.CHANGE: decision.change or ("recovered" if decision.existing else "first"),
            Tag.PARENT: str(decision.parent.version) if decision.parent else "",
            **self._origin,
            **{f"test.{metric}": f"{value:.6g}" for metric, value in _test_metrics(self._evaluation).items()},
        }
        fitted = limits.fit(tags, limits.VERSION_TAG, folder=f"{limits.WHOLE}/versions/{version}")
        self._keep(fitted.whole)
        with tracking.mlflow_errors(PURPOSE):
            _ensure_model(self._client, self._name)
            created = self._client.create_model_version(
                self._name, self._source, self.run_id, tags=fitted.values, description=self._description() or None
            )
        return str(created.version)

    @property
    def _shown_digest(self) -> str:
        return self._model.digest.removeprefix("sha256:")[:DIGEST_SHOWN]

    @property
    def _card_path(self) -> str:
        return f"{CARDS}/{self._shown_digest}.md"

    def _description(self) -> str:
        """The card, shortened to MLflow's limit, with a pointer to the whole."""
        whole = f"artifact `{self._card_path}` of run `{self.run_id}`"
        ending = f"\n\n---\nThe card goes on: it has {len(self._card):,} characters. It stands whole in {whole}.\n"
        return limits.shortened_lines(limits.storable(self._card), limits.DESCRIPTION, ending)

    def _keep(self, texts: dict[str, str]) -> None:
        tracking.Run(self._client, self.run_id, "", PURPOSE).log_texts(texts)

    def _keep_files(self) -> str:
        """Copy the model to its run's artifacts, into a folder for this content; returns its address."""
        path = f"{ARTIFACTS}/{self._shown_digest}"
        if self._card:
            self._keep({self._card_path: self._card})
        with tracking.mlflow_errors(PURPOSE):
            self._client.log_artifacts(self.run_id, str(self._folder), path)
            return f"{self._client.get_run(self.run_id).info.artifact_uri.rstrip('/')}/{path}"


def _stands(client: "MlflowClient", name: str, number: str, model: Fingerprint) -> bool:
    """Whether no earlier entry has the same semantic version or the same content."""
    known = catalog.versions(client, name)
    earlier = [version for version in known if int(version.number) < int(number)]
    return any(version.number == number for version in known) and all(version.digest != model.digest for version in earlier)


def _ensure_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def check_alias(alias: str) -> None:
    """Check that MLflow accepts an alias.

    Raises:
        BadParameter: If it does not.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"latest|[vV]\d+", alias):  # reserved by MLflow
        raise BadParameter("alias", got=alias, expected="a word such as 'challenger' or 'champion'")
    if len(alias) > limits.ALIAS:
        raise BadParameter("alias", got=f"{alias[:20]}...", expected=f"a word of at most {limits.ALIAS} characters")


def _test_metrics(evaluation: dict[str, Any]) -> dict[str, float]:
    metrics = (evaluation.get("metrics") or {}).get("test") or {}
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return dict(list(numbers.items())[:_METRICS_SHOWN])

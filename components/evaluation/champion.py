"""The model in use, judged on the same rows as the new one."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.evaluation import bootstrap
from stagewright.components.evaluation.metrics import Measured, Metric, main_metric, measure
from stagewright.components.evaluation.outcome import Outcome
from stagewright.components.runtime import tracking
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import Model, ModelMetadata
from stagewright.components.runtime.storage import ObjectStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
_PURPOSE = "the new model is compared with the champion (compare_with_champion=False leaves that out)"
_NO_SUCH = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # the model, or its alias


@dataclass(frozen=True, slots=True)
class Champion:
    """The comparison with the champion.

    Attributes:
        version: As it was registered: v1.2.0.
        comparable: Whether both could be judged on the same rows; if not, `reason` says why.
        gain: How much better the new model is by `metric`; negative when it is worse.
        interval: Of the gain, by a paired bootstrap.
    """

    version: str
    model_uri: str
    comparable: bool
    reason: str = ""
    measured: Measured | None = None
    metric: Metric | None = None
    gain: float | None = None
    interval: bootstrap.Interval | None = None

    def document(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "model_uri": self.model_uri,
            "comparable": self.comparable,
            "reason": self.reason,
            "metrics": self.measured.values if self.measured else {},
            "metric": self.metric.name if self.metric else None,
            "gain": self.gain,
            "interval": list(self.interval) if self.interval else None,
        }


def find(name: str) -> "ModelVersion | None":
    """The registered version with the alias `champion`; None when there is none, or no registry is set.

    Raises:
        ServiceUnavailable: If the registry does not answer.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    from mlflow.exceptions import MlflowException

    client = tracking.client(_PURPOSE)
    with tracking.answering(_PURPOSE):
        try:
            return client.get_model_version_by_alias(name, ALIAS)
        except MlflowException as error:
            if error.error_code in _NO_SUCH:
                return None
            raise


def compare(
    version: "ModelVersion",
    ours: ModelMetadata,
    new: Outcome,
    answer: Callable[[Model], Outcome],
    *,
    seed: int = 0,
) -> Champion:
    """Judge the champion on the rows that the new model was judged on.

    Its columns may differ, as long as the rows have them; another target, task or set of classes cannot be compared. The
    champion may have learned from some of these rows, if the split was made anew since: that favours the champion.

    Args:
        version: What `find` gave.
        ours: Metadata of the new model.
        new: The new model's outcome.
        answer: What a model says of the same rows.

    Raises:
        InputError: If the champion's files are not in the store.
        ServiceUnavailable: If the store does not answer.
    """
    tags = dict(version.tags or {})
    label, uri = tags.get("version", f"registered as version {version.version}"), tags.get("model_uri", "")
    if not uri:
        return Champion(label, "", False, "its registry entry has no tag model_uri, so its files cannot be found")
    with tempfile.TemporaryDirectory(prefix="champion-") as folder:
        ObjectStore.from_environment(_PURPOSE).download_folder(uri, Path(folder))
        try:
            champion = Model.load(folder)
            difference = _difference(champion.metadata, ours)
            theirs = None if difference else answer(champion)
        except InputError as error:  # of another framework than this image has, or of columns that the rows lack
            difference, theirs = str(error), None
    if theirs is None:
        return Champion(label, uri, False, difference)
    measured = measure(theirs)
    mine = measure(new)
    metric = main_metric(new.task, mine, measured)
    if metric.name not in mine.values or metric.name not in measured.values:
        return Champion(label, uri, False, f"{metric.label} is not known for both", measured)
    gain = metric.gain(mine.values[metric.name], measured.values[metric.name])
    interval = bootstrap.gain_interval(new, theirs, metric.name, seed=seed)
    return Champion(label, uri, True, "", measured, metric, gain, interval)


def _difference(champion: ModelMetadata, ours: ModelMetadata) -> str:
    """Why two models cannot be compared; empty when they can."""
    if champion.task != ours.task:
        return f"it is a {champion.task} model, the new one is {ours.task}"
    if champion.target != ours.target:
        return f"it predicts '{champion.target}', the new one '{ours.target}'"
    if champion.classes != ours.classes:
        return "it knows other classes than the new one"
    return ""

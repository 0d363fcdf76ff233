"""Comparison with the champion (the model in production) on test rows that neither model learned from."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from stagewright.components.metrics import bootstrap
from stagewright.components.metrics.metrics import Measured, Metric, main_metric, measure
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime import tracking
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.learned import LearnedRows
from stagewright.components.runtime.model import Model, ModelMetadata
from stagewright.components.runtime.storage import ObjectStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
LEAST_ROWS = 30  # with fewer, an interval is meaningless
LEAST_CLASS_ROWS = 5  # of the second most frequent class
_PURPOSE = "the new model is compared with the champion (compare_with_champion=False leaves that out)"
_NO_SUCH = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # the model, or its alias


@dataclass(frozen=True, slots=True)
class Champion:
    """Result of the comparison with the champion.

    Attributes:
        version: Registered version, e.g. v1.2.0.
        comparable: Whether both could be evaluated on the same rows; if not, `reason` says why.
        rows: Number of test rows for the comparison: those that neither model used for training or early stopping.
        left_out: Number of test rows that one of them learned from, or may have.
        own: Metrics of the new model on these rows.
        measured: Metrics of the champion.
        gain: How much better the new model is by `metric`; negative if it is worse.
        interval: Interval of the gain, by a paired bootstrap.
    """

    version: str
    model_uri: str
    comparable: bool
    reason: str = ""
    rows: int = 0
    left_out: int = 0
    own: Measured | None = None
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
            "rows": self.rows,
            "left_out": self.left_out,
            "own_metrics": self.own.values if self.own else {},
            "metrics": self.measured.values if self.measured else {},
            "metric": self.metric.name if self.metric else None,
            "gain": self.gain,
            "interval": list(self.interval) if self.interval else None,
        }


def find_champion(name: str) -> "ModelVersion | None":
    """The registered version with the alias `champion`; None if there is none, or no registry is configured.

    Raises:
        ServiceUnavailable: If the registry does not answer.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    from mlflow.exceptions import MlflowException

    client = tracking.client(_PURPOSE)
    with tracking.mlflow_errors(_PURPOSE):
        try:
            return client.get_model_version_by_alias(name, ALIAS)
        except MlflowException as error:
            if error.error_code in _NO_SUCH:
                return None
            raise


def judge_champion(
    version: "ModelVersion",
    ours: ModelMetadata,
    new: Outcome,
    rows: pl.DataFrame,
    learned: LearnedRows,
    answer: Callable[[Model, pl.DataFrame], Outcome],
    *,
    seed: int = 0,
) -> Champion:
    """Evaluate the champion on the test rows that neither model learned from.

    Its columns may differ, as long as the rows have them. Models cannot be compared if target, task or classes differ, if the
    champion has no record of its training rows, or if too few rows are new to both.

    Args:
        version: Result of `find_champion`.
        ours: Metadata of the new model.
        new: Outcome of the new model on the test rows.
        rows: The test rows.
        learned: Rows that the new model learned from.
        answer: Function that computes a model's outcome for rows.

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
            fresh = _new_to_both(LearnedRows.read(folder), learned, rows) if not difference else ""
            if isinstance(fresh, str):
                return Champion(label, uri, False, difference or fresh)
            counted = Champion(label, uri, False, rows=int(fresh.sum()), left_out=int((~fresh).sum()))
            if few := _too_few(new.take(fresh), len(new)):
                return replace(counted, reason=few)
            theirs = answer(champion, rows.filter(pl.Series(fresh)))
        except InputError as error:  # another framework than this image has, or columns that the rows lack
            return Champion(label, uri, False, str(error))
    return _judged(counted, new.take(fresh), theirs, seed)


def _judged(counted: Champion, ours: Outcome, theirs: Outcome, seed: int) -> Champion:
    """Compare both models on the same rows."""
    own, measured = measure(ours), measure(theirs)
    found = replace(counted, own=own, measured=measured)
    metric = main_metric(ours.task, own, measured)
    if metric.name not in own.values or metric.name not in measured.values:
        return replace(found, reason=f"{metric.label} is not known for both")
    interval = bootstrap.gain_interval(ours, theirs, metric.name, seed=seed)
    if interval is None:
        return replace(found, reason=f"{metric.label} is not known in too many resamples of these rows")
    gain = metric.gain(own.values[metric.name], measured.values[metric.name])
    return replace(found, comparable=True, metric=metric, gain=gain, interval=interval)


def _new_to_both(champion: LearnedRows | None, ours: LearnedRows, rows: pl.DataFrame) -> np.ndarray | str:
    """Rows that neither model learned from, [N] bool; or why they are unknown."""
    if champion is None:
        return "it keeps no record of the rows that it learned from, as models do that are trained now"
    return champion.incompatibility(rows.schema) or champion.new(rows) & ours.new(rows)


def _too_few(fresh: Outcome, tested: int) -> str:
    """Why these rows are too few for a comparison; empty if they suffice."""
    if len(fresh) < LEAST_ROWS:
        return (
            f"only {len(fresh):,} of {tested:,} test rows are ones that neither model learned from, and {LEAST_ROWS} are needed"
        )
    if fresh.classes is None:
        return ""
    second = int(np.sort(np.bincount(fresh.truth, minlength=len(fresh.labels)))[-2])
    if second < LEAST_CLASS_ROWS:
        return (
            f"all but {second:,} of the {len(fresh):,} test rows that neither model learned from are of one class, and "
            f"{LEAST_CLASS_ROWS} of another are needed"
        )
    return ""


def _difference(champion: ModelMetadata, ours: ModelMetadata) -> str:
    """Why two models cannot be compared; empty if they can."""
    if champion.task != ours.task:
        return f"it is a {champion.task} model, the new one is {ours.task}"
    if champion.target != ours.target:
        return f"it predicts '{champion.target}', the new one '{ours.target}'"
    if set(champion.classes or ()) != set(ours.classes or ()):
        return "it knows other classes than the new one"
    return ""

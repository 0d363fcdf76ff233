"""Evaluation of a model: all splits, intervals, slices, importance, overfitting, and the gate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.evaluation import champion, examples, gate, importance, overfitting, slices
from stagewright.components.evaluation.by_class import by_class
from stagewright.components.metrics import bootstrap, outcome
from stagewright.components.metrics.metrics import Measured, Metric, main_metric, measure
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime import positive, tables
from stagewright.components.runtime.learned import LearnedRows, identifying_columns
from stagewright.components.runtime.model import Model, ModelMetadata
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.schema import Schema, Task
from stagewright.components.runtime.signature import TENSOR_KINDS, Input

SPLITS = ("train", "validation", "test")
TRAINING_ROWS = 200_000  # a sample of a larger training split is enough to detect overfitting
BLOCK_ROWS = 65_536
CHOSEN_SLICES = 2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All results on one model.

    Attributes:
        outcomes: Outcome by split.
        measured: Metrics by split.
        intervals: 95 % intervals by split: validation and test.
        metric: Main metric of the task.
        baseline: Test metrics of the trivial baseline.
        champion: Comparison with the champion; None if there is none.
        notes: Notes on the method for the reader.
        mistakes: Worst mistakes of a model for images or texts.
    """

    name: str
    metadata: ModelMetadata
    task: Task
    outcomes: dict[str, Outcome]
    measured: dict[str, Measured]
    intervals: dict[str, dict[str, bootstrap.Interval]]
    metric: Metric
    baseline: Measured
    champion: champion.Champion | None
    slices: list[slices.Slice]
    importance: importance.Importance
    overfitting: overfitting.Overfitting
    gate: gate.Gate
    notes: list[str] = field(default_factory=list)
    mistakes: examples.Examples | None = None

    @property
    def test(self) -> Outcome:
        return self.outcomes["test"]

    def document(self) -> dict[str, Any]:
        """The evaluation as JSON; an undefined metric is left out and its reason is listed under `absent`."""
        return {
            "name": self.name,
            "task": self.task.value,
            "framework": self.metadata.framework,
            "rows": {split: len(rows) for split, rows in self.outcomes.items()},
            "class_rows": {split: _class_rows(rows) for split, rows in self.outcomes.items() if rows.classes is not None},
            "positive_class": positive.class_name(self.test.labels[1]) if self.task is Task.BINARY else None,
            "classes": [] if self.test.classes is None else [scores.document() for scores in by_class(self.test)],
            "main_metric": self.metric.name,
            "metrics": {split: measured.values for split, measured in self.measured.items()},
            "absent": {split: measured.absent for split, measured in self.measured.items() if measured.absent},
            "intervals": {split: _lists(intervals) for split, intervals in self.intervals.items()},
            "baseline": {"metrics": self.baseline.values, "metric": self.metric.name},
            "champion": self.champion.document() if self.champion else None,
            "slices": [_slice_document(part) for part in self.slices],
            "importance": self.importance.mean,
            "overfitting": self.overfitting.document(),
            "gate": self.gate.document(),
            "notes": self.notes,
        }

    def write(self, path: str | Path) -> None:
        """Write the document as strict JSON: no NaN or infinity."""
        Path(path).write_text(json.dumps(self.document(), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def evaluate(
    model: str | Path,
    *,
    train: str | Path,
    validation: str | Path,
    test: str | Path,
    name: str,
    minimum: Mapping[str, Any] | None = None,
    slice_columns: Sequence[str] = (),
    compare_with_champion: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model on its splits.

    Args:
        model: Folder of the model.
        train: Dataset file, like `validation` and `test`.
        name: Registered name of the model.
        minimum: Required test metrics: minimum for scores, maximum for errors.
        slice_columns: Columns to evaluate by value. Default: the two most important columns of the model.
        compare_with_champion: Whether the gate includes the champion, if MLFLOW_TRACKING_URI is set.

    Raises:
        BadParameter: If a threshold is invalid.
        InputError: If model and data do not match, or the column of a slice does not exist.
        ServiceUnavailable: If the registry or the object store does not answer.
    """
    loaded = Model.load(model)
    task = Task(loaded.metadata.task)
    thresholds = gate.parse_minimum(minimum or {}, task)
    paths = dict(zip(SPLITS, (train, validation, test), strict=True))
    slices.check_columns(slice_columns, tables.scan_table(test).collect_schema())
    rows = {split: _rows(path, loaded.metadata.target, split, seed) for split, path in paths.items()}
    outcomes = {split: answer(loaded, table, split=split) for split, table in rows.items()}
    measured = {split: measure(found) for split, found in outcomes.items()}
    intervals = {split: bootstrap.intervals(outcomes[split], seed=seed) for split in ("validation", "test")}

    baseline = measure(gate.baseline_outcome(outcomes["train"], outcomes["test"]))
    metric = main_metric(task, measured["test"], baseline)
    fit = overfitting.check(task, measured["train"], measured["validation"], intervals["validation"])
    inputs = loaded.features.inputs
    # A model with one image or one text as input depends on it; shuffling it would add nothing but many inferences.
    several = [] if len(inputs) == 1 and _is_large(inputs[0]) else importance.most_important_first(loaded)
    used = importance.permutation_importance(
        lambda table: answer(loaded, table, split="test"), rows["test"], several, seed=seed
    )
    texts = {given.name for given in inputs if given.kind == "text"}  # each row would be a slice of its own
    chosen = list(slice_columns) or [column for column in used.losses if column not in texts][:CHOSEN_SLICES]
    compared = _champion(name, loaded, outcomes["test"], rows["test"], paths, seed) if compare_with_champion else None
    checks = [*gate.threshold_checks(thresholds, measured["test"]), gate.baseline_check(metric, measured["test"], baseline)]
    against = gate.champion_check(compared) if compared else None
    return Evaluation(
        name=name,
        metadata=loaded.metadata,
        task=task,
        outcomes=outcomes,
        measured=measured,
        intervals=intervals,
        metric=metric,
        baseline=baseline,
        champion=compared,
        slices=slices.by_columns(outcomes["test"], rows["test"], chosen, seed=seed),
        importance=used,
        overfitting=fit,
        gate=gate.Gate(tuple(checks if against is None else [*checks, against])),
        notes=_notes(paths, rows, outcomes["test"]),
        mistakes=examples.worst_mistakes(outcomes["test"], rows["test"], inputs),
    )


def answer(model: Model, table: pl.DataFrame, *, split: str) -> Outcome:
    """Outcome of a model on rows with a known target.

    Raises:
        InputError: If a column is missing, or the target has a value that the model does not know.
    """
    metadata = model.metadata
    table = outcome.known_rows(table, metadata.target, split=split)
    truth = table[metadata.target]
    blocks = []
    with progress(f"predicting {split}", total=len(table), unit="rows") as advance:
        for block in table.iter_slices(BLOCK_ROWS):
            blocks.append(model.predict(block))
            advance(len(block))
    if metadata.classes is None:
        values = np.concatenate([block.values for block in blocks])  # type: ignore[misc]
        return outcome.regression(truth.cast(pl.Float64).to_numpy(), values, split=split)
    labels = np.concatenate([block.labels for block in blocks])  # type: ignore[misc]
    probabilities = np.concatenate([block.probabilities for block in blocks])  # type: ignore[misc]
    return outcome.classification(
        Task(metadata.task), metadata.classes, truth.to_list(), labels.tolist(), probabilities, split=split
    )


def _is_large(given: Input) -> bool:
    return given.kind in TENSOR_KINDS or given.tokenizer is not None


def _rows(path: str | Path, target: str, split: str, seed: int) -> pl.DataFrame:
    """Rows of a split with a known target; a sample of a large training split."""
    rows = outcome.known_rows(tables.read_table(path), target, split=split)
    if split == "train" and len(rows) > TRAINING_ROWS:
        return rows.sample(TRAINING_ROWS, seed=seed)
    return rows


def _champion(
    name: str, model: Model, new: Outcome, rows: pl.DataFrame, paths: Mapping[str, str | Path], seed: int
) -> champion.Champion | None:
    version = champion.find_champion(name)
    if version is None:
        return None
    learned = LearnedRows.read(model.folder) or _learned(model.metadata, paths)
    return champion.judge_champion(
        version, model.metadata, new, rows, learned, lambda other, table: answer(other, table, split="test"), seed=seed
    )


def _learned(metadata: ModelMetadata, paths: Mapping[str, str | Path]) -> LearnedRows:
    """Training rows of a model without a record of them."""
    splits = [paths["train"], paths["validation"]]
    names = tables.scan_table(splits[0]).collect_schema().names()
    return LearnedRows.of(splits, identifying_columns(Schema.parse(metadata.schema), names))


def _notes(paths: Mapping[str, str | Path], rows: Mapping[str, pl.DataFrame], test: Outcome) -> list[str]:
    notes = []
    for split, table in rows.items():
        whole = tables.scan_table(paths[split]).select(pl.len()).collect().item()
        if split == "train" and len(table) == TRAINING_ROWS < whole:
            notes.append(f"The training split is measured on a sample of {len(table):,} of its {whole:,} rows.")
        elif len(table) < whole:
            notes.append(f"{whole - len(table):,} of {whole:,} rows of the {split} split have no target and are left out.")
    if test.task is Task.REGRESSION:
        zeros = int((test.truth == 0).sum())
        if zeros:
            notes.append(f"MAPE leaves out {zeros:,} test rows whose true value is zero.")
    return notes


def _class_rows(rows: Outcome) -> dict[str, int]:
    counts = np.bincount(rows.truth, minlength=len(rows.labels)).tolist()
    return {str(label): count for label, count in zip(rows.labels, counts, strict=True)}


def _lists(intervals: Mapping[str, bootstrap.Interval]) -> dict[str, list[float]]:
    return {name: list(interval) for name, interval in intervals.items()}


def _slice_document(part: slices.Slice) -> dict[str, Any]:
    return {
        "column": part.column,
        "value": part.value,
        "rows": part.rows,
        "metrics": part.measured.values,
        "absent": part.measured.absent,
        "intervals": _lists(part.intervals),
        "small": bool(part.note),
        "note": part.note,
    }

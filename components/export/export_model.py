"""Export a model for serving: one ONNX graph that answers exactly as the model does, or nothing."""

import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import polars as pl

from stagewright.components.export.graph import whole
from stagewright.components.export.table_answers import answer
from stagewright.components.runtime import folders, logs, parity, tables
from stagewright.components.runtime.errors import GateFailed, InputError
from stagewright.components.runtime.feature_graph import session
from stagewright.components.runtime.fingerprint import BASELINE, GRAPH
from stagewright.components.runtime.frameworks import specification
from stagewright.components.runtime.model import SERVING, Model, ModelMetadata, Predictions
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.signature import TENSOR_KINDS, Signature

BASELINE_ROWS = 1000
BASELINE_BYTES = 16 * 2**20  # of large images, fewer rows


@dataclass(frozen=True, slots=True)
class Exported:
    """What export_model found.

    Attributes:
        largest_difference: Between the model's and the export's answers on the validation split: of a probability, or of a
            value as a share of the target's spread.
        bytes: Size of the graph.
    """

    metadata: ModelMetadata
    largest_difference: float
    bytes: int


def export_model(
    model: str | Path, validation: str | Path, exported: str | Path, *, tolerance: float = parity.TOLERANCE
) -> Exported:
    """Copy a model folder and add `serving/`: model.onnx, signature.json and baseline.parquet.

    The gate: on every validation row the labels are equal and no probability differs by more than the tolerance; no value by
    more than this share of the target's spread in the training rows (`parity.spread`). A row on the very border of two
    classes, nearer than the tolerance, is a tie that either may break; ties are logged and kept out of the baseline. The
    baseline carries tolerance and spread: whoever asks the served model judges its answers by the same rule.

    Args:
        tolerance: Largest difference, see above; at least the framework's own, see `runtime.frameworks`.
        validation: Parquet file of the validation split.
        exported: Folder to write; it appears when the export has passed.

    Raises:
        InputError: If the model, the table or the tolerance cannot be used.
        GateFailed: If the export answers differently, naming the worst row.
    """
    parity.check_tolerance(tolerance)
    loaded = Model.load(model)
    table = tables.read_table(validation)
    if not table.height:
        raise InputError("the validation split has no rows; an export cannot be compared on none")
    metadata = loaded.metadata
    tolerance = max(tolerance, specification(metadata.framework).tolerance)
    with progress("exporting the model"):
        graph = whole(loaded).SerializeToString(deterministic=True)
        native = loaded.predict(table)
        answered = answer(session(graph), loaded.features, table, metadata.classes)
        scale = _spread(loaded, table, native)
        found = parity.compare(native, answered, tolerance, spread=scale, threshold=metadata.threshold)
    failures = found.failures(native, answered, tolerance)
    if failures:
        raise GateFailed(f"export of model '{metadata.name}'", failures)
    with folders.atomic_folder(exported) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SERVING))
        serving = folder / SERVING
        serving.mkdir()
        (serving / GRAPH).write_bytes(graph)
        _signature(loaded).write(serving)
        for name, content in loaded.features.files.items():
            (serving / name).write_bytes(content)
        spread = None if metadata.classes else scale
        rule = parity.rule_columns(tolerance, spread=spread, threshold=metadata.threshold)
        baseline = _baseline(loaded, table, native, excluded=found.ties)
        tables.write_table(baseline.with_columns(**{name: pl.lit(value) for name, value in rule.items()}), serving / BASELINE)
    logs.event("model_exported", bytes=len(graph), rows=table.height, largest_difference=found.largest, ties=len(found.ties))
    return Exported(metadata, found.largest, len(graph))


def _spread(model: Model, table: pl.DataFrame, native: Predictions) -> float:
    """Of the target, in the training rows; for a model that does not tell, in the validation rows or of its own answers."""
    metadata = model.metadata
    if metadata.classes is not None or native.values is None:
        return 1.0
    known = metadata.target_spread
    if known is not None and 0 < known < np.inf:
        return known
    if metadata.target in table.columns and table.schema[metadata.target].is_numeric():
        return parity.spread(table[metadata.target].cast(pl.Float64).to_numpy())
    return parity.spread(native.values)


def _signature(model: Model) -> Signature:
    metadata = model.metadata
    return Signature(
        task=metadata.task,
        inputs=model.features.inputs,
        classes=metadata.classes,
        threshold=metadata.threshold,
        target=metadata.target,
        framework=metadata.framework,
    )


def _baseline(model: Model, table: pl.DataFrame, native: Predictions, *, excluded: tuple[int, ...]) -> pl.DataFrame:
    """Validation rows, evenly spread over the table, with the model's own answers and the truth."""
    rows = np.setdiff1d(np.arange(table.height), excluded)
    row_bytes = sum(prod(c.shape) * (1 if c.kind == "image" else 4) for c in model.features.inputs if c.kind in TENSOR_KINDS)
    most = max(1, min(BASELINE_ROWS, BASELINE_BYTES // max(1, row_bytes)))
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
    frame = table.select(column.name for column in model.features.inputs)[rows]
    if native.probabilities is None:
        answers = {"__prediction__": np.asarray(native.values)[rows]}
    else:
        answers = {"__label__": np.asarray(native.labels)[rows]}
        answers |= {f"__probability_{i}__": native.probabilities[rows, i] for i in range(native.probabilities.shape[1])}
    target = model.metadata.target
    truth = [table.get_column(target)[rows].alias("__target__")] if target in table.columns else []
    return frame.with_columns(*(pl.Series(name, values) for name, values in answers.items()), *truth)

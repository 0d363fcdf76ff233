"""Predictions of an exported graph for a table, and the rule that compares them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl

from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.fingerprint import BASELINE
from stagewright.components.runtime.model import SERVING, Label, Predictions
from stagewright.components.runtime.parity import SPREAD_COLUMN, TOLERANCE, TOLERANCE_COLUMN, spread

BATCH_ROWS = 8192
SINGLE_ROWS = 10  # asked one at a time too: a graph may treat a batch of one otherwise


def answer(
    session: onnxruntime.InferenceSession, features: FeatureGraph, table: pl.DataFrame, classes: Sequence[Label] | None
) -> Predictions:
    """Predictions of an exported graph for a table."""
    names = Predictions.output_names(classes)
    singles = [table.slice(row, 1) for row in range(min(SINGLE_ROWS, table.height))]
    batches = features.slices(table.slice(len(singles)), BATCH_ROWS)
    parts = [session.run(names, features.feeds(rows)) for rows in [*singles, *batches]]
    return Predictions.from_outputs(dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True)))


def rule(model: str | Path, own: Predictions) -> tuple[float, float]:
    """Tolerance and spread by which an exported model's answers are judged: its baseline's, as when it was exported.

    Args:
        own: Its answers for some rows; their spread stands in for the target's where the baseline does not tell it.
    """
    path = Path(model) / SERVING / BASELINE
    row = pl.read_parquet(path, n_rows=1).to_dict(as_series=False) if path.is_file() else {}
    tolerance = (row.get(TOLERANCE_COLUMN) or [TOLERANCE])[0]
    if own.values is None:
        return tolerance, 1.0
    return tolerance, (row.get(SPREAD_COLUMN) or [0.0])[0] or spread(own.values)

"""Verdict of a smoke test: a server's predictions compared with the model's own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.runtime import parity
from stagewright.components.runtime.errors import GateFailed, InputError
from stagewright.components.runtime.model import Predictions
from stagewright.components.runtime.positive import THRESHOLD


def judge(table: pl.DataFrame, outputs: Mapping[str, list[Any]], tolerance: float | None, *, gate: str) -> float:
    """Compare a server's predictions with the model's own, by the rule of the export that wrote them.

    Args:
        table: Rows of a baseline, N.
        outputs: The server's V2 outputs, flat: `prediction` [N], or `label` [N] and `probabilities` [N * classes].
        tolerance: Maximum difference; None for the tolerance in the baseline.
        gate: What is tested, as the subject of the error.

    Returns:
        The largest difference.

    Raises:
        GateFailed: Naming the first row whose label differs, or the row that differs most.
        InputError: If the baseline lacks an output that the server returns.
    """
    own, served = _pair(table, outputs)
    allowed = _constant(table, parity.TOLERANCE_COLUMN, parity.TOLERANCE) if tolerance is None else tolerance
    spread = 1.0
    if own.values is not None:
        spread = _constant(table, parity.SPREAD_COLUMN, 0.0) or parity.spread(own.values)
    threshold = _constant(table, parity.THRESHOLD_COLUMN, THRESHOLD)
    found = parity.compare(own, served, allowed, spread=spread, threshold=threshold)
    if found.flipped and own.labels is not None and served.labels is not None:
        row = found.flipped[0]
        raise GateFailed(gate, [f"row {row} is answered '{served.labels[row]}', but the model says '{own.labels[row]}'"])
    if not found.largest <= allowed:
        raise GateFailed(gate, [_sentence(own, served, found, allowed)])
    return found.largest


def _pair(table: pl.DataFrame, outputs: Mapping[str, list[Any]]) -> tuple[Predictions, Predictions]:
    if "prediction" in outputs:
        return Predictions(values=_numbers(table, "__prediction__")), Predictions(values=_floats(outputs["prediction"]))
    answered = _floats(outputs["probabilities"]).reshape(len(table), -1)
    own = np.column_stack([_numbers(table, f"__probability_{at}__") for at in range(answered.shape[1])])
    labels = _labels(_column(table, "__label__").to_list())
    return Predictions(labels, own), Predictions(_labels(outputs["label"]), answered)


def _sentence(own: Predictions, served: Predictions, found: parity.Parity, tolerance: float) -> str:
    row = found.row
    if own.values is not None and served.values is not None:
        share = f"{found.largest:.3g} of the target's spread, {found.spread:.6g}; tolerance {tolerance:g}"
        return f"row {row}: prediction is {served.values[row]:.9g}, but the model says {own.values[row]:.9g} ({share})"
    mine, theirs = np.asarray(own.probabilities)[row], np.asarray(served.probabilities)[row]
    at = int(np.argmax(np.nan_to_num(np.abs(mine - theirs), nan=np.inf)))
    return f"row {row}: probability {at} is {theirs[at]:.9g}, but the model says {mine[at]:.9g} (tolerance {tolerance:g})"


def _constant(table: pl.DataFrame, name: str, default: float) -> float:
    return float(table[name][0]) if name in table.columns else default


def _numbers(table: pl.DataFrame, name: str) -> np.ndarray:
    return _column(table, name).cast(pl.Float64).to_numpy()


def _column(table: pl.DataFrame, name: str) -> pl.Series:
    if name not in table.columns:
        raise InputError(f"the baseline has no column {name}, which the served model answers")
    return table[name]


def _floats(values: list[Any]) -> np.ndarray:
    """[N] float64; null, which stands for NaN in JSON, becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _labels(values: list[Any]) -> np.ndarray:
    labels = np.empty(len(values), dtype=object)
    labels[:] = values
    return labels

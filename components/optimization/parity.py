"""Whether an exported model answers as the model it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import polars as pl

from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.model import Label, Predictions

BATCH_ROWS = 8192
SINGLE_ROWS = 10  # asked one at a time too: a graph may treat a batch of one otherwise


@dataclass(frozen=True, slots=True)
class Parity:
    """How two models' answers for the same rows differ.

    Attributes:
        largest: Largest difference of a probability, or of a value relative to max(1, its size).
        row: Where that is.
        flipped: Rows with another label although the model was not in two minds.
        ties: Rows with another label where the model itself is within the tolerance of the border between two classes:
            there, float32 arithmetic in any other order decides otherwise.
    """

    largest: float
    row: int
    flipped: tuple[int, ...]
    ties: tuple[int, ...]

    def failures(self, native: Predictions, exported: Predictions, tolerance: float) -> list[str]:
        """One clause for each way in which the answers differ too much."""
        found = []
        if not self.largest <= tolerance:  # not a number must fail
            what, own, other = _answers_of(native, exported, self.row)
            found.append(
                f"{what} of validation row {self.row} differs by {self.largest:.3g} (model {own}, export {other}), "
                f"more than the tolerance of {tolerance:g}"
            )
        if self.flipped and native.labels is not None and exported.labels is not None:
            row = self.flipped[0]
            found.append(
                f"the label differs in {len(self.flipped)} validation rows, first in row {row} "
                f"(model {native.labels[row]!s}, export {exported.labels[row]!s})"
            )
        return found


def answer(
    session: onnxruntime.InferenceSession, features: FeatureGraph, table: pl.DataFrame, classes: Sequence[Label] | None
) -> Predictions:
    """What an exported graph answers for a table."""
    wanted = ["prediction"] if classes is None else ["label", "probabilities"]
    singles = [table.slice(row, 1) for row in range(min(SINGLE_ROWS, table.height))]
    batches = features.slices(table.slice(len(singles)), BATCH_ROWS)
    parts = [session.run(wanted, features.feeds(rows)) for rows in [*singles, *batches]]
    answers = [np.concatenate(part) for part in zip(*parts, strict=True)]
    if classes is None:
        return Predictions(values=answers[0])
    return Predictions(labels=answers[0], probabilities=answers[1])


def compare(native: Predictions, exported: Predictions, tolerance: float) -> Parity:
    """Compare two models' answers row by row."""
    if native.values is not None and exported.values is not None:
        own, other = native.values.astype(np.float64), exported.values.astype(np.float64)
        differences = np.abs(own - other) / np.maximum(1.0, np.abs(own))
        return Parity(*_worst(differences), (), ())
    if native.probabilities is None or exported.probabilities is None:
        raise ValueError("a classifier is compared with a regressor")
    differences = np.abs(native.probabilities.astype(np.float64) - exported.probabilities).max(axis=1)
    differs = np.flatnonzero(np.asarray(native.labels).astype(str) != np.asarray(exported.labels).astype(str))
    top = np.sort(native.probabilities[differs], axis=1)
    tied = top[:, -1] - top[:, -2] <= 2 * tolerance if len(differs) else np.zeros(0, dtype=bool)
    return Parity(*_worst(differences), tuple(differs[~tied].tolist()), tuple(differs[tied].tolist()))


def _worst(differences: np.ndarray) -> tuple[float, int]:
    """The largest difference, one that is not a number before all others, and its row."""
    row = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
    return float(differences[row]), row


def _answers_of(native: Predictions, exported: Predictions, row: int) -> tuple[str, str, str]:
    if native.values is not None and exported.values is not None:
        return "the value", f"{native.values[row]:.9g}", f"{exported.values[row]:.9g}"
    own, other = np.asarray(native.probabilities)[row], np.asarray(exported.probabilities)[row]
    column = int(np.argmax(np.abs(own - other)))
    return "a probability", f"{own[column]:.9g}", f"{other[column]:.9g}"

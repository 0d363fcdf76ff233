"""Predictions of a model for the rows of a split, with the true values: the input of every metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task

Label = str | int | bool
SHOWN_LABELS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """True values and predictions of N rows.

    Attributes:
        truth: [N] index of the true class in `classes` (int64), or the true value (float64).
        predicted: [N] the same for the prediction.
        probabilities: [N, C] float64, each row sums to one; None for regression.
        classes: The C labels in the order of the probabilities; None for regression.
    """

    task: Task
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None = None
    classes: tuple[Label, ...] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def class_probabilities(self) -> np.ndarray:
        """[N, C] probabilities of a classification.

        Raises:
            ValueError: If the task is regression.
        """
        if self.probabilities is None:
            raise ValueError("a regression has no probabilities")
        return self.probabilities

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes of a classification.

        Raises:
            ValueError: If the task is regression.
        """
        if self.classes is None:
            raise ValueError("a regression has no classes")
        return self.classes

    def take(self, rows: np.ndarray) -> Self:
        """The outcome of some rows, selected by a mask [N] or by indexes."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return type(self)(self.task, self.truth[rows], self.predicted[rows], probabilities, self.classes)


def classification(
    task: Task, classes: Sequence[Label], truth: Sequence[Any], labels: Sequence[Any], probabilities: np.ndarray, *, split: str
) -> Outcome:
    """The outcome of a classifier.

    Args:
        classes: The model's classes in the order of the probabilities.
        truth: [N] true labels.
        labels: [N] predicted labels.
        probabilities: [N, C] of any floating type; rows are normalized, because float32 rows may not sum exactly to one.
        split: Name of the rows in an error.

    Raises:
        InputError: If a label is unknown to the model, or a probability is not a finite number.
    """
    given = _finite(np.asarray(probabilities, dtype=np.float64), split)
    if task is Task.BINARY:  # only the second column decides, so that ties stay ties
        given = np.column_stack([1.0 - given[:, 1], given[:, 1]])
    else:
        given = given / given.sum(axis=1, keepdims=True)
    codes = {label: code for code, label in enumerate(classes)}
    return Outcome(task, _encode(truth, codes, split), _encode(labels, codes, split), given, tuple(classes))


def regression(truth: Sequence[Any] | np.ndarray, values: np.ndarray, *, split: str) -> Outcome:
    """The outcome of a regressor.

    Args:
        truth: [N] true values.
        values: [N] predictions.
        split: Name of the rows in an error.

    Raises:
        InputError: If a value or a prediction is not a finite number.
    """
    answered = _finite(np.asarray(values, dtype=np.float64).reshape(-1), split)
    return Outcome(Task.REGRESSION, _finite(np.asarray(truth, dtype=np.float64), split), answered)


def known_rows(table: pl.DataFrame, target: str, *, split: str) -> pl.DataFrame:
    """The rows of a split with a known target.

    Raises:
        InputError: If the target is not a column, or no row is left.
    """
    if target not in table.columns:
        raise InputError(f"the {split} split has no column '{target}', which the model predicts")
    column = table[target]
    known = column.is_not_null() & column.is_not_nan() if column.dtype.is_float() else column.is_not_null()
    rows = table.filter(known)
    if rows.is_empty():
        raise InputError(f"the {split} split has no row with a value of '{target}', so there is nothing to evaluate on")
    return rows


def _encode(labels: Sequence[Any], codes: dict[Label, int], split: str) -> np.ndarray:
    try:
        return np.fromiter((codes[label] for label in labels), dtype=np.int64, count=len(labels))
    except KeyError:
        unknown = sorted({str(label) for label in labels if label not in codes})
        shown = ", ".join(f"'{label}'" for label in unknown[:SHOWN_LABELS])
        known = ", ".join(f"'{label}'" for label in list(codes)[:SHOWN_LABELS])
        raise InputError(
            f"the {split} split has target values that the model was not trained on: {shown}; it knows {known}"
            f"{', ...' if len(codes) > SHOWN_LABELS else ''}: keep every class in the training split"
        ) from None


def _finite(values: np.ndarray, split: str) -> np.ndarray:
    broken = ~np.isfinite(values)
    if broken.any():
        rows = int(broken.reshape(len(values), -1).any(axis=1).sum())
        raise InputError(
            f"{rows:,} of {len(values):,} rows of the {split} split have a target or an answer that is not a finite number"
        )
    return values

"""Target leakage: columns that alone predict the target almost perfectly on rows that were not used for fitting.

For each column the rows are randomly split in two halves. The prediction for each value is learned on one half and checked on
the other. Numbers with many values are grouped into up to 256 quantile bins of at least 20 rows; a missing value is a value of
its own. Unseen values predict nothing, so a column of all different values, such as a key, scores no better than random.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from stagewright.components.ingestion.notes import flag
from stagewright.components.runtime.schema import ColumnKind, Schema, Task

MIN_ROWS = 50
MIN_RARE_ROWS = 10  # minimum rows of a class, or outside the largest class: fewer prove nothing
LIMIT = 0.999
ERROR_LEFT = 0.1  # maximum share of the errors of the majority class that may remain
MIN_PRESENT = 0.5
MAX_BINS, BIN_ROWS = 256, 20


@dataclass(frozen=True, slots=True)
class Leak:
    """A suspected leak.

    Attributes:
        measure: accuracy, AUC, R2 or correlation: name of the score in a sentence.
    """

    column: str
    measure: str
    score: float

    def __str__(self) -> str:
        return (
            f"column '{self.column}' alone predicts the target almost perfectly ({self.measure} {self.score:.4f}): "
            "it was probably known only after the target; "
            f"leave it out with --drop {flag([self.column])}, or set --leakage warn"
        )


def leaks(sample: pl.DataFrame, schema: Schema) -> list[Leak]:
    """Feature columns that leak the target, searched in a sample of rows."""
    target = schema.target or ""
    rows = sample.filter(pl.col(target).is_not_null())
    if rows.height < MIN_ROWS:
        return []
    halves = np.random.default_rng(0).permutation(rows.height) < rows.height // 2
    answer = rows.get_column(target)
    classes = schema.task is not Task.REGRESSION
    numbers = _codes(answer) if classes else answer.to_numpy().astype(np.float64)
    if classes and rows.height - np.bincount(numbers).max() < MIN_RARE_ROWS:
        return []
    found = []
    for column in schema.features:
        if column.name not in rows.columns or column.kind is ColumnKind.IDENTIFIER:
            continue
        values = rows.get_column(column.name)
        leak = _class_leak(values, numbers, halves) if classes else _number_leak(values, numbers, halves)
        if leak is not None:
            found.append(leak)
    return found


def _class_leak(values: pl.Series, classes: np.ndarray, halves: np.ndarray) -> Leak | None:
    bins = _binned(values)
    accuracy = float(np.mean([_accuracy(bins, classes, fit) for fit in (halves, ~halves)]))
    base = np.bincount(classes).max() / len(classes)
    if accuracy >= LIMIT and 1 - accuracy <= ERROR_LEFT * (1 - base):
        return Leak(values.name, "accuracy", accuracy)
    if classes.max() == 1 and _ordered(values):
        area = _area(values, classes)
        if area is not None and max(area, 1 - area) >= LIMIT:
            return Leak(values.name, "AUC", max(area, 1 - area))
    return None


def _number_leak(values: pl.Series, answer: np.ndarray, halves: np.ndarray) -> Leak | None:
    if np.ptp(answer) == 0:
        return None
    bins = _binned(values)
    explained = float(np.mean([_explained(bins, answer, fit) for fit in (halves, ~halves)]))
    if explained >= LIMIT:
        return Leak(values.name, "R2", explained)
    if not _ordered(values):
        return None
    present = values.is_not_null().to_numpy()
    if present.mean() < MIN_PRESENT or present.sum() < MIN_ROWS:
        return None
    pair = pl.DataFrame({"x": values.to_physical().cast(pl.Float64), "y": answer}).filter(pl.col("x").is_finite())
    measures = pair.select(pl.corr("x", "y").alias("r"), pl.corr("x", "y", method="spearman").alias("rank")).row(0)
    largest = max((abs(value) for value in measures if value is not None and np.isfinite(value)), default=0.0)
    return Leak(values.name, "correlation", largest) if largest >= LIMIT else None


def _accuracy(bins: np.ndarray, classes: np.ndarray, fit: np.ndarray) -> float:
    """Accuracy outside `fit` if each bin predicts its most frequent class inside `fit`. `bins`, `classes` and `fit` are [N]."""
    votes = np.zeros((bins.max() + 1, classes.max() + 1), np.int64)
    np.add.at(votes, (bins[fit], classes[fit]), 1)
    answers = np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), np.bincount(classes[fit]).argmax())
    return float((answers[bins[~fit]] == classes[~fit]).mean())


def _explained(bins: np.ndarray, answer: np.ndarray, fit: np.ndarray) -> float:
    """R2 outside `fit` if each bin predicts its mean inside `fit`. `bins`, `answer` and `fit` are [N]."""
    sums = np.bincount(bins[fit], answer[fit], minlength=bins.max() + 1)
    counts = np.bincount(bins[fit], minlength=bins.max() + 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), answer[fit].mean())
    residual, whole = answer[~fit] - means[bins[~fit]], answer[~fit] - answer[fit].mean()
    return 1.0 - float(residual @ residual) / max(float(whole @ whole), np.finfo(float).tiny)


def _area(values: pl.Series, classes: np.ndarray) -> float | None:
    """Area under the ROC curve of a number, [N], as a score for classes, [N], by ranks (Mann and Whitney 1947)."""
    present = values.is_not_null().to_numpy()
    positive = classes[present] == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if present.mean() < MIN_PRESENT or min(ones, zeros) < MIN_RARE_ROWS:
        return None
    ranks = values.drop_nulls().rank("average").to_numpy()
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _binned(values: pl.Series) -> np.ndarray:
    """Code of each value, [N]; equal values have equal codes. If there are many, near numbers share a code. Missing is 0."""
    bins = max(2, min(MAX_BINS, len(values) // BIN_ROWS))
    if _ordered(values) and values.n_unique() > bins:
        ranks = values.rank("min").cast(pl.Int64)  # equal values share a rank, and so a bin
        share = (ranks - 1) * bins // len(values)
        return (share + 1).fill_null(0).to_numpy()
    return values.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def _codes(values: pl.Series) -> np.ndarray:
    return (values.rank("dense") - 1).cast(pl.Int64).to_numpy()


def _ordered(values: pl.Series) -> bool:
    return values.dtype.is_numeric() or values.dtype.is_temporal()

"""Permutation importance: how much worse a model gets if one raw column is shuffled.

Source: Breiman, Random Forests (2001), section 10, applied to any model and to raw columns instead of encoded features. Two
correlated columns each appear less important than both together.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from stagewright.components.metrics.metrics import Metric, main_metric, measure, value
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.progress import progress

ROWS, REPEATS, SECONDS = 1000, 5, 10.0
BLOCK_ROWS = 50_000  # rows per call of the model


@dataclass(frozen=True, slots=True)
class Importance:
    """Loss of the metric without each column.

    Attributes:
        losses: Column -> loss of each repetition; the most important first.
        skipped: Columns that were skipped for lack of time.
        rows: Number of shuffled rows.
    """

    metric: Metric
    losses: dict[str, tuple[float, ...]]
    skipped: tuple[str, ...]
    rows: int

    @property
    def mean(self) -> dict[str, float]:
        return {column: float(np.mean(losses)) for column, losses in self.losses.items()}


def most_important_first(model: Model) -> list[str]:
    """A model's raw columns, the most important first by its own importances; in the table's order if it has none."""
    used = dict.fromkeys((given.name for given in model.features.inputs), 0.0)
    for feature in model.features.outputs:
        if feature.source in used:
            used[feature.source] += model.metadata.importances.get(feature.name, 0.0)
    return sorted(used, key=lambda column: -used[column])


def permutation_importance(
    answer: Callable[[pl.DataFrame], Outcome],
    table: pl.DataFrame,
    columns: Sequence[str],
    *,
    rows: int = ROWS,
    repeats: int = REPEATS,
    seconds: float = SECONDS,
    seed: int = 0,
) -> Importance:
    """Shuffle one column after another and evaluate again.

    Args:
        answer: Function that computes the outcome for a table.
        table: Rows with a known target; a sample of them is used.
        columns: Raw columns of the model, in the order of measurement.
        repeats: Shuffles of each column; fewer if time runs out, which is checked after each.
        seconds: Time limit; the result contains what was measured until then.
    """
    random = np.random.default_rng(seed)
    if len(table) > rows:
        table = table[np.sort(random.choice(len(table), size=rows, replace=False))]
    base = answer(table)
    measured = measure(base)
    metric = main_metric(base.task, measured)
    losses: dict[str, list[float]] = {column: [] for column in columns}
    if metric.name in measured.values:
        ends = time.monotonic() + seconds
        at_once = max(1, BLOCK_ROWS // len(table))
        blocks = [columns[start : start + at_once] for start in range(0, len(columns), at_once)]
        with progress("shuffling columns", total=repeats * len(columns), unit="columns") as advance:
            for block in (block for _ in range(repeats) for block in blocks):
                for column, outcome in zip(block, _shuffled(answer, table, block, random), strict=True):
                    losses[column].append(metric.gain(measured.values[metric.name], value(metric, outcome)))
                advance(len(block))
                if time.monotonic() > ends:
                    break
    ordered = sorted((column for column in columns if losses[column]), key=lambda column: -np.mean(losses[column]))
    skipped = tuple(column for column in columns if not losses[column])
    return Importance(metric, {column: tuple(losses[column]) for column in ordered}, skipped, len(table))


def _shuffled(
    answer: Callable[[pl.DataFrame], Outcome], table: pl.DataFrame, columns: Sequence[str], random: np.random.Generator
) -> Iterator[Outcome]:
    """The outcome with each column shuffled, one after another, in a single call of the model, because a call has a high fixed
    cost.
    """
    copies = [table.with_columns(table[column].gather(random.permutation(len(table)))) for column in columns]
    outcome = answer(pl.concat(copies))
    for number in range(len(columns)):
        yield outcome.take(np.arange(number * len(table), (number + 1) * len(table)))

"""Categorical columns: one-hot or ordinal encoding; rare levels are grouped, missing values are a level of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from stagewright.components.features.graph import ML, Block, Graph
from stagewright.components.features.options import CategoricalOptions
from stagewright.components.features.specification import ColumnPlan
from stagewright.components.runtime.feature_graph import Feature
from stagewright.components.runtime.signature import MISSING_STRING

FEW_LEVELS = 8  # up to here `auto` is one_hot
MOST_LEVELS = {"one_hot": 50, "ordinal": 1000}


@dataclass(frozen=True, slots=True)
class CategoricalFit:
    """What was learned from one column.

    Attributes:
        levels: Values that have their own feature or code, most frequent first.
        rare: Whether rare levels were grouped; then an unknown value belongs to that group.
        missing: Whether the training split has missing values.
    """

    name: str
    encode: str
    levels: tuple[str, ...]
    rare: bool
    missing: bool

    def features(self) -> tuple[Feature, ...]:
        if self.encode == "ordinal":
            # Codes: one for each level, one for rare and unseen values, one for missing.
            return (Feature(self.name, self.name, "code", len(self.levels) + 2),)
        names = [*self.levels, *(["(rare)"] if self.rare else []), *(["(missing)"] if self.missing else [])]
        return tuple(Feature(f"{self.name}={level}", self.name, "one_hot") for level in names)


def fit(plan: ColumnPlan, values: pl.Series) -> CategoricalFit:
    """Learn the levels of one column.

    Args:
        values: Values of the training split, [N] String, "" where missing; at least one is not missing.

    Raises:
        TypeError: If the column is not categorical.
    """
    options = plan.options
    if not isinstance(options, CategoricalOptions):
        raise TypeError(f"{plan.name} is not categorical")
    known = values.filter(values != MISSING_STRING).rename("level")
    counts = known.value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    kept = counts.filter(pl.col("rows") >= _least_rows(options.min_frequency, len(values)))
    encode = options.encode
    if encode == "auto":
        encode = "one_hot" if kept.height <= FEW_LEVELS else "ordinal"
    kept = kept.head(options.max_levels or MOST_LEVELS[encode])
    return CategoricalFit(
        plan.name, encode, tuple(kept.get_column("level")), rare=kept.height < counts.height, missing=len(known) < len(values)
    )


def write(graph: Graph, fits: Sequence[CategoricalFit]) -> list[Block]:
    """Write one-hot columns as one matrix operation, then the codes."""
    hot = [fit for fit in fits if fit.encode == "one_hot"]
    coded = [fit for fit in fits if fit.encode == "ordinal"]
    blocks = []
    if hot:
        blocks.append(_one_hot(graph, hot))
    if coded:
        codes = graph.side_by_side([_codes(graph, fit) for fit in coded])
        blocks.append(Block(codes, tuple(feature for fit in coded for feature in fit.features())))
    return blocks


def _one_hot(graph: Graph, fits: Sequence[CategoricalFit]) -> Block:
    """Each value becomes the position of its feature in the block, or -1; a feature is 1 where the position is its own."""
    features: list[Feature] = []
    positions, owners = [], []
    for owner, fit in enumerate(fits):
        start, own = len(features), fit.features()
        after = start + len(fit.levels)
        unseen = after if fit.rare else -1
        absent = after + fit.rare if fit.missing else -1
        positions.append(_lookup(graph, fit, first=start, unseen=unseen, missing=absent))
        owners += [owner] * len(own)
        features += own
    position = graph.side_by_side(positions)
    if len(fits) > 1:
        position = graph.select(position, owners)
    hit = graph.apply("Equal", position, graph.constant([np.arange(len(features))], np.float32))
    return Block(graph.cast(hit, np.float32), tuple(features))


def _codes(graph: Graph, fit: CategoricalFit) -> str:
    unseen = len(fit.levels)
    return _lookup(graph, fit, first=0, unseen=unseen, missing=unseen + 1)


def _lookup(graph: Graph, fit: CategoricalFit, *, first: int, unseen: int, missing: int) -> str:
    return graph.apply(
        "LabelEncoder", fit.name, domain=ML, keys_strings=[*fit.levels, MISSING_STRING],
        values_floats=[*(float(first + index) for index in range(len(fit.levels))), float(missing)],
        default_float=float(unseen),
    )  # fmt: skip


def _least_rows(min_frequency: float | None, rows: int) -> float:
    """Smallest number of rows of a level that is not rare. A fraction counts all rows, also those with a missing value."""
    if min_frequency is None:
        return 1
    return min_frequency if min_frequency >= 1 else min_frequency * rows

"""Fit preprocessing on the training split: learn from each column, write the graph, learn the scaling from its output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.features import categorical, dates, deep, numeric, text
from stagewright.components.features.graph import Block, Graph
from stagewright.components.features.numeric import Scaling
from stagewright.components.features.scaling import learn_scaling
from stagewright.components.features.specification import ColumnPlan, Plan, plan
from stagewright.components.features.training_split import TrainingSplit
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import Feature, FeatureGraph
from stagewright.components.runtime.frameworks import FRAMEWORKS
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.schema import Schema
from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME, Input

LISTED_CATEGORIES = 1000


@dataclass
class Fitted:
    """What was learned from each column that is used."""

    numbers: list[numeric.NumericFit] = field(default_factory=list)
    times: list[dates.DateFit] = field(default_factory=list)
    categories: list[categorical.CategoricalFit] = field(default_factory=list)
    texts: list[text.TextFit] = field(default_factory=list)

    def write(self, graph: Graph, scaling: Scaling) -> list[Block]:
        """Write all columns in this order: values, indicators, categories, words."""
        numbers, missing_numbers = numeric.write(graph, self.numbers, scaling)
        parts, missing_times = dates.write(graph, self.times, scaling)
        categories, words = categorical.write(graph, self.categories), text.write(graph, self.texts)
        return [*numbers, *parts, *missing_numbers, *missing_times, *categories, *words]


def fit_features(
    train: str | Path,
    schema: Schema,
    *,
    framework: str,
    params: Mapping[str, Any] | None = None,
    specification: Mapping[str, Any] | None = None,
) -> FeatureGraph:
    """Fit preprocessing on the training split.

    Args:
        train: Parquet file of the training split. No other data is used.
        framework: Framework to train with, see `runtime.frameworks`; it sets the defaults.
        params: Hyperparameters of the framework. The `model` of sklearn also sets the defaults; the `model` of transformers
            provides the tokenizer.
        specification: See `stagewright.components.features.specification`.

    Raises:
        InputError: If the specification or a column cannot be used, or no column is left to learn from.
    """
    chosen = plan(schema, framework, params or {}, specification or {})
    table = TrainingSplit(train)
    table.check(chosen.columns)
    if FRAMEWORKS[framework].reads:
        made = deep.fit(chosen, table, framework, params or {})
        return _logged(FeatureGraph(framework=framework, specification=chosen.resolved(), **made))
    fitted, kept, dropped = _fit_columns(chosen, table)
    if not kept:
        unread = next((f"; column '{name}': {why}" for name, why in chosen.dropped.items() if "reads no" in why), "")
        raise InputError(f"no column is left to learn from: all are constant, empty, identifiers or dropped{unread}")
    inputs = tuple(_input(column, fitted) for column in kept)
    scaling = _scaling(fitted, inputs, table)
    result = FeatureGraph(
        inputs=inputs, framework=framework, specification=chosen.resolved(), dropped=chosen.dropped | dropped,
        **_assembled(fitted, inputs, scaling),
    )  # fmt: skip
    return _logged(result)


def _logged(result: FeatureGraph) -> FeatureGraph:
    logs.event("features_fitted", columns=len(result.inputs), features=result.width, dropped=len(result.dropped))
    return result


def _fit_columns(chosen: Plan, table: TrainingSplit) -> tuple[Fitted, list[ColumnPlan], dict[str, str]]:
    fitted, kept, dropped = Fitted(), [], {}
    with progress("fitting features", total=len(chosen.columns), unit="columns") as advance:
        for column in chosen.columns:
            reason = _fit_column(column, table, fitted)
            if reason is None:
                kept.append(column)
            else:
                dropped[column.name] = reason
                logs.event("column_dropped", column=column.name, reason=reason)
            advance()
    return fitted, kept, dropped


def _fit_column(column: ColumnPlan, table: TrainingSplit, fitted: Fitted) -> str | None:
    """Learn from one column into `fitted`; returns why the column is dropped, or None."""
    values = table.values(column)
    if unusable := _unusable(values, column.kind):
        return unusable
    match column.kind:
        case "numeric" | "boolean":
            fitted.numbers.append(numeric.fit(column, values))
        case "datetime":
            fitted.times.append(dates.fit(column, values))
        case "categorical":
            fitted.categories.append(categorical.fit(column, values))
        case _:
            made = text.fit(column, values)
            if not made.words:
                return "no words"
            fitted.texts.append(made)
    return None


def _unusable(values: pl.Series, kind: str) -> str | None:
    if kind in ("numeric", "boolean"):
        known = values.filter(values.is_finite())
    else:
        known = values.filter(values != (MISSING_TIME if kind == "datetime" else MISSING_STRING))
    if known.is_empty():
        return "empty"
    return "constant" if len(known) == len(values) and known.n_unique() == 1 else None


def _input(column: ColumnPlan, fitted: Fitted) -> Input:
    levels = {fit.name: fit.levels[:LISTED_CATEGORIES] for fit in fitted.categories}
    return Input(column.name, column.kind, nullable=True, categories=levels.get(column.name))


def _scaling(fitted: Fitted, inputs: Sequence[Input], table: TrainingSplit) -> Scaling:
    """Learn the scaling from the output of the unscaled graph; date parts that are constant are removed."""
    part = Fitted(numbers=[fit for fit in fitted.numbers if fit.scale != "none"], times=fitted.times)
    methods = {Feature(fit.name, fit.name, "numeric"): fit.scale for fit in part.numbers}
    methods |= {feature: fit.scale for fit in part.times for feature in fit.scaled_features}
    if not part.numbers and not part.times:
        return {}
    used = {fit.name for fit in part.numbers} | {fit.name for fit in part.times}
    own = tuple(column for column in inputs if column.name in used)
    unscaled = FeatureGraph(inputs=own, framework="", specification={}, **_assembled(part, own, {}))
    scaling, constant = learn_scaling(
        unscaled.outputs, (unscaled.transform(batch) for batch in table.batches([c.name for c in own])), methods
    )
    fitted.times = [_without(fit, constant) for fit in fitted.times]
    return scaling


def _without(fit: dates.DateFit, constant: set[Feature]) -> dates.DateFit:
    parts = [part for part, feature in zip(fit.parts, fit.features(), strict=True) if feature not in constant]
    return replace(fit, parts=tuple(parts) or fit.parts[:1])


def _assembled(fitted: Fitted, inputs: Sequence[Input], scaling: Scaling) -> dict[str, Any]:
    graph = Graph(inputs)
    blocks = fitted.write(graph, scaling)
    outputs = _distinct([feature for block in blocks for feature in block.features])
    matrix = graph.side_by_side([block.tensor for block in blocks])
    return {"outputs": outputs, "graph": graph.build(matrix, shape=["N", len(outputs)])}


def _distinct(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The same features with distinct names: a repeated name ("a=b" of column "a" and of level "b") gets a number."""
    taken: set[str] = set()
    result = []
    for feature in features:
        name, number = feature.name, 2
        while name in taken:
            name, number = f"{feature.name} ({number})", number + 1
        taken.add(name)
        result.append(replace(feature, name=name))
    return tuple(result)

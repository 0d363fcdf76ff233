"""Inputs of a training run: read, checked and transformed before the run begins."""

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl

from stagewright.components.runtime import positive, tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.files import sha256
from stagewright.components.runtime.learned import LearnedRows, identifying_columns
from stagewright.components.runtime.model import Label
from stagewright.components.runtime.schema import Schema, Task
from stagewright.components.training import target as targets
from stagewright.components.training.folder import EXAMPLE_ROWS
from stagewright.components.training.frameworks._base import Split, TrainingData

CHECKED_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Inputs:
    """Checked inputs of a training run.

    Attributes:
        classes: Labels in sorted order; of two classes, the positive one is second. None for regression.
        hashes: SHA-256 of each table by use: train, validation.
        example: Some rows of the raw columns.
        learned: Fingerprints of the rows of both tables.
    """

    schema: Schema
    target: str
    task: Task
    classes: tuple[Label, ...] | None
    features: FeatureGraph
    data: TrainingData
    hashes: dict[str, str]
    example: pl.DataFrame
    learned: LearnedRows


def prepare(
    train: Path, validation: Path, features: Path, schema_file: Path, class_weight: str, positive_class: str = ""
) -> Inputs:
    """Read, check and transform both splits.

    Args:
        positive_class: Positive class of a binary task. Default: the second in sorted order.

    Raises:
        InputError: If the schema, the features or the target cannot be used.
    """
    schema = _schema(schema_file)
    target, task = targets.task_of(schema)
    graph = FeatureGraph.load(features)
    if target in {column.name for column in graph.inputs}:
        raise InputError(f"the features read the target '{target}'; fit them with a schema that names it as the target")
    train_table, validation_table = tables.read_table(train), tables.read_table(validation)
    train_target = targets.series_of(train_table, target, "training")
    validation_target = targets.series_of(validation_table, target, "validation")
    if task is Task.REGRESSION:
        classes = None
        targets.class_shares(class_weight, None)
        y, y_validation = targets.values(train_target, "training"), targets.values(validation_target, "validation")
        weights = weights_validation = None
    else:
        classes = positive.positive_last(targets.classes_of(train_target, task), positive_class if task is Task.BINARY else "")
        y = targets.codes(train_target, classes, "training")
        y_validation = targets.codes(validation_target, classes, "validation")
        by_class = targets.class_shares(class_weight, y)
        weights, weights_validation = (None if by_class is None else by_class[rows] for rows in (y, y_validation))
    return Inputs(
        schema=schema,
        target=target,
        task=task,
        classes=classes,
        features=graph,
        data=TrainingData(
            Split(_matrix(graph, train_table), y, weights),
            Split(_matrix(graph, validation_table), y_validation, weights_validation),
            graph.outputs,
            len(classes or ()),
        ),
        hashes={"train": sha256(train), "validation": sha256(validation)},
        example=train_table.select(column.name for column in graph.inputs).head(EXAMPLE_ROWS),
        learned=LearnedRows.of((train, validation), identifying_columns(schema, train_table.columns)),
    )


def _schema(path: Path) -> Schema:
    if not path.is_file():
        raise InputError(f"no schema at {path}; validate_data writes one")
    return Schema.read(path)


def _matrix(graph: FeatureGraph, table: pl.DataFrame) -> np.ndarray:
    matrix = graph.transform(table)
    if matrix.shape[1] == 0:
        raise InputError("the features are empty: no column is left to learn from; check the schema and the specification")
    for start in range(0, len(matrix), CHECKED_ROWS):
        infinite = np.flatnonzero(np.isinf(matrix[start : start + CHECKED_ROWS]).any(axis=0))
        if len(infinite):
            name = next(name for name, last in _ends(graph) if infinite[0] < last)
            raise InputError(f"feature '{name}' is infinite in some row; check its column")
    return matrix


def _ends(graph: FeatureGraph) -> list[tuple[str, int]]:
    """Each feature with the column of the matrix that follows it."""
    widths = [feature.width for feature in graph.outputs]
    return list(zip(graph.names, accumulate(widths), strict=True))

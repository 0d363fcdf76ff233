"""The target as models use it: class codes or values, and class weights."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean, one_of
from stagewright.components.runtime.model import Label
from stagewright.components.runtime.schema import Schema, Task

CLASS_WEIGHTS = ("none", "balanced")


def task_of(schema: Schema) -> tuple[str, Task]:
    """The target's name and the task.

    Raises:
        InputError: If the schema has no target or no task.
    """
    if schema.target is None or schema.task is None:
        raise InputError("the schema has no target or no task; run validate_data with a target first")
    return schema.target, schema.task


def series_of(table: pl.DataFrame, target: str, split: str) -> pl.Series:
    """The target column of a split, [N], without missing values.

    Raises:
        InputError: If the column does not exist, or has no rows or missing values.
    """
    if target not in table.columns:
        raise InputError(f"target '{target}' is not in the {split} split{did_you_mean(target, table.columns)}")
    series = table.get_column(target)
    if not len(series):
        raise InputError(f"the {split} split has no rows")
    missing = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
    if missing:
        raise InputError(f"target '{target}' is missing in {missing} rows of the {split} split; drop them before the split")
    return series


def classes_of(series: pl.Series, task: Task) -> tuple[Label, ...]:
    """The classes of a training split, sorted, as Python strings, integers or booleans.

    Raises:
        InputError: If there is only one class, there are more than two for a binary task, or the values are not labels.
    """
    classes = tuple(sorted(_labels(series).unique().to_list()))
    if len(classes) == 1:
        raise InputError(
            f"target '{series.name}' has only one class ({classes[0]!r}) in the training split; "
            "a classifier needs at least two: check the data, or split with method 'stratified'"
        )
    if task is Task.BINARY and len(classes) != 2:
        raise InputError(f"target '{series.name}' has {len(classes)} classes and the task is binary; use task 'multiclass'")
    return classes


def codes(series: pl.Series, classes: Sequence[Label], split: str) -> np.ndarray:
    """Index of each row's label in the classes, [N] int64.

    Raises:
        InputError: For a label that is not among the classes.
    """
    labels = _labels(series)
    unknown = [label for label in labels.unique().to_list() if label not in set(classes)]
    if unknown:
        raise InputError(
            f"target '{series.name}' has class {min(unknown, key=str)!r} in the {split} split and not in the training "
            "split; a class this rare cannot be learned: group it, drop it, or split with method 'stratified'"
        )
    return labels.replace_strict(list(classes), list(range(len(classes))), return_dtype=pl.Int64).to_numpy(writable=True)


def values(series: pl.Series, split: str) -> np.ndarray:
    """The target of a regression, [N] float32.

    Raises:
        InputError: If a value is not a finite number.
    """
    if not series.dtype.is_numeric():
        raise InputError(f"target '{series.name}' holds {series.dtype} and the task is regression; expected numbers")
    numbers = series.cast(pl.Float32).to_numpy(writable=True)
    if not np.isfinite(numbers).all():
        raise InputError(f"target '{series.name}' holds an infinite or too large number in the {split} split")
    return numbers


def class_shares(class_weight: str, train_codes: np.ndarray | None) -> np.ndarray | None:
    """Weight of each class, or None for equal weights; balanced is rows / (classes * rows of the class), as in scikit-learn.

    Raises:
        BadParameter: For an unknown class weight, or for balanced with a regression.
    """
    one_of("class_weight", class_weight, CLASS_WEIGHTS)
    if class_weight == "none":
        return None
    if train_codes is None:
        raise BadParameter("class_weight", got=class_weight, expected="none, because the task is regression")
    counts = np.bincount(train_codes)
    return (len(train_codes) / (len(counts) * counts)).astype(np.float32)


def _labels(series: pl.Series) -> pl.Series:
    """Labels as strings, integers or booleans; floats with integral values become integers."""
    dtype = series.dtype
    if dtype in (pl.String, pl.Boolean):
        return series
    if dtype.is_integer():
        return series.cast(pl.Int64)
    if dtype in (pl.Categorical, pl.Enum):
        return series.cast(pl.String)
    if dtype.is_float() and bool((series == series.floor()).all()):
        return series.cast(pl.Int64)
    raise InputError(f"target '{series.name}' holds {dtype}; a class is a text, a whole number or true and false")

"""Type inference: the kind of each column and the task, from the values.

Kinds: arrays of bytes [channels, height, width] are images, other arrays are tensors; booleans, dates, times and numbers keep
their meaning. Text is `text` if most values differ and have several words, otherwise categorical. A column is an identifier if
all values differ and it is text of one or two words, is named like an identifier, or counts the rows; so is an empty column.
Models do not learn from identifiers. The target is never an identifier.

Task: text and booleans are classes; decimal numbers are a regression. Whole numbers are classes if there are at most 20
different ones with at least five rows each, otherwise a regression. Counts are numbers, too: their largest values become rare,
however long the table is, whereas each of several classes has its rows.
"""

import re

from stagewright.components.ingestion.profile import IMAGES, ColumnProfile, Profile
from stagewright.components.runtime.errors import InputError, did_you_mean, one_of
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task

MAX_INTEGER_CLASSES = 20
MIN_ROWS_A_CLASS = 5
MIN_COUNTED, TAIL_ROWS, TAIL_TIMES, DENSE = 4, 10, 5, 2  # see `counts`
MIN_ROWS_FOR_IDENTIFIER = 20  # in fewer rows, different texts are common
TEXT_WORDS, TEXT_DISTINCT_SHARE = 3.0, 0.5
MAX_DOMAIN = 20
AUTO = "auto"
_IDENTIFIER_NAME = re.compile(r"(^|[_\W])(id|uuid|guid|key|index|rowid|rownames?|row_?(number|no|nr))$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z]I[Dd]$")


def inferred(profile: Profile, target: str, task: Task) -> Schema:
    """A schema that the table satisfies: kinds, types, whether values may be missing, and the values of small categories."""
    columns = [_column(figures, target, task) for figures in profile.columns.values()]
    return Schema(target=target, task=task, columns=columns)  # type: ignore[call-arg]  # pydantic has defaults


def kind_of(figures: ColumnProfile, *, target: bool = False, classes: bool = False) -> ColumnKind:
    """The kind of a column, by its values and its name.

    Args:
        target: Whether it is the column to predict.
        classes: Whether its values are classes.
    """
    if figures.shape is not None or figures.dtype == "boolean" or figures.time:
        return _kind_of_type(figures)
    if target:
        return ColumnKind.CATEGORICAL if classes or not figures.number else ColumnKind.NUMERIC
    if not figures.present or _identifies(figures):
        return ColumnKind.IDENTIFIER
    if figures.number:
        return ColumnKind.NUMERIC
    wordy = (figures.words or 0) >= TEXT_WORDS and figures.distinct > max(MAX_DOMAIN, TEXT_DISTINCT_SHARE * figures.present)
    return ColumnKind.TEXT if wordy else ColumnKind.CATEGORICAL


def _kind_of_type(figures: ColumnProfile) -> ColumnKind:
    if figures.shape is not None:
        return ColumnKind.IMAGE if figures.dtype == IMAGES and len(figures.shape) == 3 else ColumnKind.TENSOR
    return ColumnKind.BOOLEAN if figures.dtype == "boolean" else ColumnKind.DATETIME


def target_figures(profile: Profile, target: str) -> ColumnProfile:
    """Statistics of the target.

    Raises:
        InputError: If the table has no such column, naming the nearest.
    """
    if target not in profile.columns:
        raise InputError(f"target '{target}' is not a column of the data{did_you_mean(target, profile.columns)}")
    return profile.columns[target]


def task_of(figures: ColumnProfile, task: str) -> Task:
    """The task of a target; a given task is checked.

    Raises:
        InputError: If the task does not fit the target.
    """
    one_of("task", task, (AUTO, *Task))
    if figures.shape is not None:
        raise InputError(f"target '{figures.name}' holds arrays; predict a number or classes instead")
    if figures.time:
        raise InputError(f"target '{figures.name}' holds times; predict a number or classes instead")
    if task == AUTO:
        return _natural_task(figures)
    return _fitting_task(figures, Task(task))


def _natural_task(figures: ColumnProfile) -> Task:
    few = (
        figures.distinct <= MAX_INTEGER_CLASSES
        and figures.distinct * MIN_ROWS_A_CLASS <= figures.present
        and not counts(figures)
    )
    if figures.dtype == "float64" or (figures.dtype == "int64" and not few):
        return Task.REGRESSION
    if figures.dtype == "string" and figures.distinct > MAX_INTEGER_CLASSES and figures.distinct * 2 > figures.present:
        raise InputError(
            f"target '{figures.name}' has {figures.distinct} different texts in {figures.present} rows, such as "
            f"'{figures.top[0][0]}'; that is neither a number nor classes to tell apart"
        )
    return Task.BINARY if figures.distinct <= 2 else Task.MULTICLASS


def counts(figures: ColumnProfile) -> bool:
    """Whether a few whole numbers are counts: the largest has few rows, and far fewer than most."""
    if figures.dtype != "int64" or not MIN_COUNTED <= figures.distinct <= len(figures.top):
        return False
    rows = dict(figures.top)
    dense = figures.maximum - figures.minimum < DENSE * figures.distinct
    largest = rows[figures.maximum]
    return dense and largest < TAIL_ROWS and largest * TAIL_TIMES <= figures.present / figures.distinct


def _fitting_task(figures: ColumnProfile, task: Task) -> Task:
    name = f"target '{figures.name}'"
    if task is Task.REGRESSION and not figures.number:
        raise InputError(f"task is regression, but {name} holds no numbers; set task to auto, binary or multiclass")
    if task is not Task.REGRESSION and figures.dtype == "float64":
        raise InputError(f"task is {task}, but {name} holds decimal numbers; store classes as whole numbers or text")
    if task is Task.BINARY and figures.distinct > 2:
        raise InputError(f"task is binary, but {name} has {figures.distinct} different values; set task to auto or multiclass")
    if task is Task.MULTICLASS and figures.distinct == 2:
        raise InputError(f"task is multiclass, but {name} has two different values; set task to auto or binary")
    return task


def _column(figures: ColumnProfile, target: str, task: Task) -> Column:
    is_target = figures.name == target
    kind = kind_of(figures, target=is_target, classes=task is not Task.REGRESSION)
    domain = None
    if kind is ColumnKind.CATEGORICAL and 0 < figures.distinct <= min(MAX_DOMAIN, len(figures.top)):
        domain = sorted((value for value, _ in figures.top), key=str)
    return Column(  # type: ignore[call-arg]  # pydantic has defaults
        name=figures.name,
        kind=kind,
        dtype=figures.dtype,
        shape=None if figures.shape is None else list(figures.shape),
        nullable=figures.nulls > 0,
        values=domain,
        unique=kind is ColumnKind.IDENTIFIER,
    )


def _identifies(figures: ColumnProfile) -> bool:
    if not figures.all_different or figures.dtype == "float64" or figures.present < 2:
        return False
    if _IDENTIFIER_NAME.search(figures.name) or _CAMEL_ID.search(figures.name):
        return True
    if figures.present < MIN_ROWS_FOR_IDENTIFIER:
        return False
    if figures.number:
        return figures.minimum in {0, 1} and figures.maximum - figures.minimum == figures.present - 1
    return (figures.words or 0) < TEXT_WORDS

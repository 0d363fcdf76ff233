"""Validation before training: a table against its schema, its target, and problems that make a model worthless."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.ingestion.expectations import violations
from stagewright.components.ingestion.expected import completed, differences
from stagewright.components.ingestion.leakage import leaks
from stagewright.components.ingestion.notes import flag, listed
from stagewright.components.ingestion.profile import ColumnProfile, Profile, profile
from stagewright.components.ingestion.type_inference import inferred, target_figures, task_of
from stagewright.components.runtime import logs, positive, tables
from stagewright.components.runtime.errors import GateFailed, one_of
from stagewright.components.runtime.positive import THRESHOLD
from stagewright.components.runtime.schema import Schema, Task

SHOWN = 10  # names in a list
LEAKAGE = ("error", "warn")
MIN_CLASS_ROWS = 3  # one for each split
FEW_CLASS_ROWS = 10
MAX_WITHOUT_TARGET = 0.5  # maximum share of rows without a target, which are left out


@dataclass(frozen=True, slots=True)
class Findings:
    """Results: violations stop the run, warnings do not; warnings that change what is learned are also notices."""

    violations: list[str]
    warnings: list[str]
    notices: list[str] = field(default_factory=list)


def validate(
    table: str | Path,
    schema: str | Path,
    report: str | Path,
    *,
    target: str,
    task: str = "auto",
    expected: dict[str, Any] | None = None,
    leakage: str = "error",
    suite: dict[str, Any] | None = None,
    positive_class: str = "",
    threshold: float = THRESHOLD,
    notes: Sequence[str] = (),
) -> Schema:
    """Check a table; the report and the schema are written before an error is raised.

    Without `expected` the schema is inferred, and the table is checked for general problems: a target that cannot be learned,
    empty columns, infinite values, target leakage. With it, its columns and expectations are checked as well.

    Args:
        schema: Path of the schema in use.
        report: Path of the HTML report.
        task: auto, binary, multiclass or regression.
        expected: A schema, as `expected.py` describes it.
        leakage: Whether a column that leaks the target is an error or a warning.
        suite: A Great Expectations suite.
        positive_class: Positive class of a binary target; empty: the second class in sorted order.
        threshold: Decision threshold: probability of the positive class.
        notes: How the files were read, for the report.

    Raises:
        InputError: If the target is not in the data, or a parameter is invalid.
        GateFailed: With every violation.
    """
    from stagewright.components.ingestion.validation_page import page

    one_of("leakage", leakage, LEAKAGE)
    figures = profile(table)
    goal = target_figures(figures, target)
    chosen = task_of(goal, task)
    positive.check_positive(threshold, positive_class, binary=chosen is Task.BINARY, task=chosen.value)
    if positive_class:
        positive.positive_last(sorted((value for value, _ in class_counts(table, target)), key=str), positive_class)
    holds = completed(expected, figures, target, chosen) if expected else inferred(figures, target, chosen)
    found = examine(table, figures, holds, leakage=leakage, suite=suite)
    holds.write(schema)
    page(figures, holds, found.violations, found.warnings, notes).write(report)
    for warning in found.warnings:
        logs.event("data_warning", warning=warning)
    for notice in found.notices:
        logs.notice(notice)
    if found.violations:
        raise GateFailed("the data", found.violations)
    logs.event(
        "data_validated", rows=figures.rows, columns=len(figures.columns), task=chosen.value, warnings=len(found.warnings)
    )
    return holds


def examine(
    table: str | Path, figures: Profile, schema: Schema, *, leakage: str = "error", suite: dict[str, Any] | None = None
) -> Findings:
    """Everything that is wrong with a table, and everything that is unusual."""
    goal = figures.columns[schema.target or ""]
    classes = [] if schema.task is Task.REGRESSION or goal.distinct < 2 else class_counts(table, goal.name)
    wrong = differences(schema, figures) + _of_target(goal, schema.task, classes) + _of_values(figures, schema)
    wrong += violations(table, schema, figures)
    told = _left_out(figures, schema)
    remarks = _remarks(figures, schema, classes)
    odd = told + _oddities(figures, schema) + remarks
    suspects = [str(leak) for leak in leaks(figures.sample, schema)] if goal.distinct > 1 else []
    (wrong if leakage == "error" else odd).extend(suspects)
    if not schema.features:
        wrong.append("no column is left to learn from: all are the target, identifiers or empty")
    if suite:
        from stagewright.components.ingestion.suites import failures

        wrong += failures(table, suite)
    return Findings(wrong, odd, told + remarks)


def class_counts(table: str | Path, target: str) -> list[tuple[Any, int]]:
    """Each class with its number of rows, rarest first."""
    values = tables.scan_table(table).select(pl.col(target).alias("class")).drop_nulls()
    counts = values.group_by("class").agg(pl.len().alias("rows")).sort("rows", "class").collect(engine="streaming")
    return counts.rows()


def _of_target(goal: ColumnProfile, task: Task | None, classes: list[tuple[Any, int]]) -> list[str]:
    found = []
    if not goal.present:
        return []  # reported for every empty column
    if goal.null_share > MAX_WITHOUT_TARGET:
        found.append(
            f"target '{goal.name}' is missing in {goal.nulls:,} of {goal.rows:,} rows, more than {MAX_WITHOUT_TARGET:.0%}; "
            "name another column, or remove these rows"
        )
    if goal.distinct == 1:
        only = goal.top[0][0] if goal.top else goal.minimum
        what = "one value" if task is Task.REGRESSION else "one class"
        found.append(f"target '{goal.name}' has only {what}, {only!r}; a model needs at least two")
    else:
        rare = [f"{value!r} ({rows})" for value, rows in classes if rows < MIN_CLASS_ROWS]
        if rare:
            found.append(
                f"target '{goal.name}' has classes with fewer than {MIN_CLASS_ROWS} rows: {', '.join(rare[:5])}"
                f"{' and more' * (len(rare) > 5)}; merge them or collect more"
                f"{', or set --task regression if the values count or measure something' * (goal.dtype == 'int64')}"
            )
    return found


def _of_values(figures: Profile, schema: Schema) -> list[str]:
    found = []
    learned = {column.name for column in schema.features}
    for column in figures.columns.values():
        if not column.present and column.name == schema.target:
            found.append(f"target '{column.name}' has no values at all; name another column, or fill it")
        elif not column.present and column.name in learned:
            found.append(
                f"column '{column.name}' has no values at all, and the schema gives it a kind; "
                f"fill it, or leave it out with --drop {flag([column.name])}"
            )
        elif column.shape is not None and column.nulls:
            found.append(
                f"column '{column.name}' is missing in {column.nulls} rows; remove them, no model reads a missing array"
            )
        elif column.infinite and column.name != schema.target:
            found.append(
                f"column '{column.name}' holds {column.infinite} infinite values; replace them, "
                f"or leave the column out with --drop {flag([column.name])}"
            )
        elif column.infinite:
            found.append(f"column '{column.name}' holds {column.infinite} infinite values; replace them")
    return found


def _left_out(figures: Profile, schema: Schema) -> list[str]:
    """Rows and columns that are left out of training although nobody asked for it."""
    found = []
    goal = figures.columns[schema.target or ""]
    if goal.nulls and goal.null_share <= MAX_WITHOUT_TARGET:
        found.append(f"{goal.nulls:,} of {goal.rows:,} rows have no target and are left out")
    learned = {column.name for column in schema.features}
    empty = [f"'{name}'" for name, column in figures.columns.items() if not column.present and name not in learned]
    if empty and goal.present:
        several = len(empty) > 1
        found.append(
            f"column{'s' * several} {listed(empty, SHOWN)} {'have' if several else 'has'} no values at all "
            f"and {'are' if several else 'is'} left out"
        )
    return found


def _oddities(figures: Profile, schema: Schema) -> list[str]:
    found = []
    if figures.duplicates and schema.max_duplicate_share is None:
        found.append(f"{figures.duplicates} rows are equal to an earlier row ({figures.duplicate_share:.1%})")
    goal = figures.columns[schema.target or ""]
    constant = [f"'{column.name}'" for column in figures.columns.values() if column.constant and column is not goal]
    if len(constant) == 1:
        found.append(f"column {constant[0]} has the same value in every row; it stays, but tells a model nothing")
    elif constant:
        found.append(f"columns {listed(constant, SHOWN)} have the same value in every row; they stay, but tell a model nothing")
    sparse = [
        column
        for column in figures.columns.values()
        if column.present and column.null_share > 0.5 and (not column.constant or column is goal)
    ]
    if len(sparse) == 1:
        found.append(f"column '{sparse[0].name}' is missing in {sparse[0].null_share:.0%} of the rows")
    elif sparse:
        shares = [f"'{column.name}' ({column.null_share:.0%})" for column in sparse]
        found.append(f"columns {listed(shares, SHOWN)} are missing in more than half of the rows")
    return found


def _remarks(figures: Profile, schema: Schema, classes: list[tuple[Any, int]]) -> list[str]:
    """Columns and classes from which a model learns little or nothing."""
    found = []
    goal = figures.columns[schema.target or ""]
    identifiers = [
        column.name
        for column in schema.columns
        if column.kind == "identifier" and column.name != goal.name and figures.columns[column.name].present
    ]
    if identifiers:
        found.append(f"not learned from, because they identify rows: {listed(identifiers, SHOWN)}")
    few = [f"{value!r} ({rows})" for value, rows in classes if MIN_CLASS_ROWS <= rows < FEW_CLASS_ROWS]
    if few:
        shown = ", ".join(few[:5]) + " and more" * (len(few) > 5)
        found.append(f"target '{goal.name}' has classes with fewer than {FEW_CLASS_ROWS} rows: {shown}")
    return found

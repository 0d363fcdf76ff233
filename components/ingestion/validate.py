"""The gate in front of training: a table against its schema, its target, and what would make a model worthless."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.ingestion.expectations import violations
from stagewright.components.ingestion.expected import completed, differences
from stagewright.components.ingestion.kinds import inferred, target_figures, task_of
from stagewright.components.ingestion.leakage import leaks
from stagewright.components.ingestion.profile import ColumnProfile, Profile, profile
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import GateFailed, one_of
from stagewright.components.runtime.schema import Schema, Task

LEAKAGE = ("error", "warn")
MIN_CLASS_ROWS = 3  # one for each split
FEW_CLASS_ROWS = 10


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: violations stop the run, warnings do not."""

    violations: list[str]
    warnings: list[str]


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
) -> Schema:
    """Check a table; the report and the schema are written before anything is raised.

    Without `expected` the schema is inferred, and what any table must fulfil is checked: a target that can be learned, no
    column without values, no infinite values, no leak. With it, its columns and expectations are checked as well.

    Args:
        schema: Where to write the schema that holds.
        report: Where to write the HTML report.
        task: auto, binary, multiclass or regression.
        expected: A schema, as `expected.py` describes it.
        leakage: Whether a column that gives the target away is an error or a warning.
        suite: A Great Expectations suite.

    Raises:
        InputError: If the target is not in the data, or a parameter cannot be used.
        GateFailed: With every violation.
    """
    from stagewright.components.ingestion.validation_page import page

    one_of("leakage", leakage, LEAKAGE)
    figures = profile(table)
    goal = target_figures(figures, target)
    chosen = task_of(goal, task)
    holds = completed(expected, figures, target, chosen) if expected else inferred(figures, target, chosen)
    found = examine(table, figures, holds, leakage=leakage, suite=suite)
    holds.write(schema)
    page(figures, holds, found.violations, found.warnings).write(report)
    for warning in found.warnings:
        logs.event("data_warning", warning=warning)
    if found.violations:
        raise GateFailed("the data", found.violations)
    logs.event(
        "data_validated", rows=figures.rows, columns=len(figures.columns), task=chosen.value, warnings=len(found.warnings)
    )
    return holds


def examine(
    table: str | Path, figures: Profile, schema: Schema, *, leakage: str = "error", suite: dict[str, Any] | None = None
) -> Findings:
    """Everything that is wrong with a table, and everything that is odd about it."""
    goal = figures.columns[schema.target or ""]
    classes = [] if schema.task is Task.REGRESSION or goal.distinct < 2 else class_counts(table, goal.name)
    wrong = differences(schema, figures) + _of_target(goal, schema.task, classes) + _of_values(figures, goal.name)
    wrong += [
        clause for clause in violations(table, schema, figures) if not clause.startswith(f"column '{goal.name}' is missing in")
    ]
    odd = _oddities(figures, schema, classes)
    suspects = [str(leak) for leak in leaks(figures.sample, schema)] if goal.distinct > 1 else []
    (wrong if leakage == "error" else odd).extend(suspects)
    if not schema.features:
        wrong.append("no column is left to learn from: all are the target or identifiers")
    if suite:
        from stagewright.components.ingestion.suites import failures

        wrong += failures(table, suite)
    return Findings(wrong, odd)


def class_counts(table: str | Path, target: str) -> list[tuple[Any, int]]:
    """Each class with its number of rows, rarest first."""
    values = tables.scan(table).select(pl.col(target).alias("class")).drop_nulls()
    counts = values.group_by("class").agg(pl.len().alias("rows")).sort("rows", "class").collect(engine="streaming")
    return counts.rows()


def _of_target(goal: ColumnProfile, task: Task | None, classes: list[tuple[Any, int]]) -> list[str]:
    found = []
    if not goal.present:
        return []  # said of every column without values
    if goal.nulls:
        found.append(
            f"target '{goal.name}' is missing in {goal.nulls} of {goal.rows} rows; remove these rows or find their values"
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
            )
    return found


def _of_values(figures: Profile, target: str) -> list[str]:
    found = []
    for column in figures.columns.values():
        if not column.present:
            role = "target" if column.name == target else "column"
            found.append(f"{role} '{column.name}' has no values at all; remove the column or fill it")
        elif column.shape is not None and column.nulls:
            found.append(
                f"column '{column.name}' is missing in {column.nulls} rows; remove them, no model reads a missing array"
            )
        elif column.infinite:
            found.append(f"column '{column.name}' holds {column.infinite} infinite values; replace them")
    return found


def _oddities(figures: Profile, schema: Schema, classes: list[tuple[Any, int]]) -> list[str]:
    found = []
    if figures.duplicates and schema.max_duplicate_share is None:
        found.append(f"{figures.duplicates} rows are equal to an earlier row ({figures.duplicate_share:.1%})")
    goal = figures.columns[schema.target or ""]
    for column in figures.columns.values():
        if column.constant and column is not goal:
            found.append(f"column '{column.name}' has the same value in every row; it stays, but tells a model nothing")
        elif column.present and column.null_share > 0.5:
            found.append(f"column '{column.name}' is missing in {column.null_share:.0%} of the rows")
    identifiers = [column.name for column in schema.columns if column.kind == "identifier" and column.name != goal.name]
    if identifiers:
        found.append(f"not learned from, because they identify rows: {', '.join(identifiers)}")
    few = [f"{value!r} ({rows})" for value, rows in classes if MIN_CLASS_ROWS <= rows < FEW_CLASS_ROWS]
    if few:
        shown = ", ".join(few[:5]) + " and more" * (len(few) > 5)
        found.append(f"target '{goal.name}' has classes with fewer than {FEW_CLASS_ROWS} rows: {shown}")
    return found

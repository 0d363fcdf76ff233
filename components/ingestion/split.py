"""Split one table into train, validation and test, and verify that no row and no group is in two splits."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.ingestion.allocation import (
    Assignment,
    by_border,
    by_draw,
    by_group,
    by_time,
    too_alike,
)  # fmt: skip
from stagewright.components.ingestion.fractions import SPLITS, checked_fractions
from stagewright.components.runtime import logs, rowhash, tables
from stagewright.components.runtime.errors import InputError, did_you_mean, one_of
from stagewright.components.runtime.learned import identifying_columns
from stagewright.components.runtime.schema import Schema, Task
from stagewright.components.runtime.seeds import checked_seed

METHODS = ("stratified", "random", "time", "group")
_SPLIT, _GROUP = "__split__", "__group__"


@dataclass(frozen=True, slots=True)
class Proof:
    """Result of comparing the stored splits.

    Attributes:
        rows_shared: Rows of the table that are in more than one split.
        groups_shared: Groups that are in more than one split; 0 without groups.
        rows_lost: Rows of the table that are in no split.
        rows_repeated: Rows of validation and test that equal, column by column, a row of an earlier split. They are different
            rows of the table, but a model may have seen equal ones.
    """

    rows_shared: int
    groups_shared: int
    rows_lost: int
    rows_repeated: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Assignment of the rows and the reason.

    Attributes:
        by: Basis of the assignment: content (of the row), copy (its content, and its number among equal rows), group or time.
        moved: Rows that are in another split than their content implies, because their class, or the table, is small. They may
            change splits when the table grows.
    """

    assignment: Assignment
    by: str
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """The three stored tables, in the order of `SPLITS`, the basis of the assignment, and the verification."""

    tables: tuple[tables.TableInfo, ...]
    method: str
    by: str
    moved: int
    proof: Proof

    def share(self, number: int) -> float:
        """A split's share of the table's rows."""
        return self.tables[number].rows / sum(info.rows for info in self.tables)

    def metadata(self, number: int, schema: Schema) -> dict[str, Any]:
        """Metadata of a split's Dataset artifact."""
        proof = {"rows_shared": self.proof.rows_shared, "groups_shared": self.proof.groups_shared}
        known = {"target": schema.target or "", "task": schema.task.value if schema.task else ""}  # Kubeflow drops nulls
        how = {"method": self.method, "by": self.by, "moved": self.moved, "share": round(self.share(number), 6)}
        return self.tables[number].metadata() | known | {"split": SPLITS[number]} | how | {"proof": proof}


def split(
    table: str | Path,
    schema: Schema,
    outputs: Sequence[str | Path],
    *,
    method: str = "stratified",
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    time_column: str | None = None,
    group_column: str | None = None,
    seed: int = 0,
) -> Split:
    """Split a table in three. Rows keep their order within each split; equal seeds give equal splits on every machine.

    The row's content decides, without target and identifiers, so a corrected label or a new identifier does not move it. A row
    stays in its split when the table grows, and equal rows stay together. If a table has few different rows, the whole row and
    its number among equal rows decide instead.

    Args:
        outputs: Paths of train, validation and test.
        method: stratified (every class in every split), random, time (the oldest rows train) or group (all rows of a group in
            one split).
        fractions: Fractions of train, validation and test; they sum to 1. The sizes are approximate.
        time_column: Column to sort by, for `method="time"`.
        group_column: Column of the groups, for `method="group"`.

    Raises:
        InputError: If a column is missing or invalid, or there are too few rows.
    """
    one_of("method", method, METHODS)
    checked_seed(seed)
    shares = checked_fractions(fractions)
    _check_columns_fit(method, time_column, group_column)
    placed = _drawn(table, schema, method, shares, time_column, group_column, seed)
    labelled = pl.concat([tables.scan_table(table), pl.LazyFrame({_SPLIT: placed.assignment})], how="horizontal")
    stored = tuple(
        tables.write_table(labelled.filter(pl.col(_SPLIT) == number).drop(_SPLIT), path) for number, path in enumerate(outputs)
    )
    proof = prove(table, placed.assignment, outputs, group_column)
    done = Split(stored, method, placed.by, placed.moved, proof)
    if proof.rows_repeated:
        logs.event("rows_repeated_across_splits", level=logging.WARNING, rows=proof.rows_repeated)
        logs.notice(_repeated_sentence(done))
    sizes = {name: info.rows for name, info in zip(SPLITS, stored, strict=True)}
    logs.event("table_split", method=method, by=placed.by, moved=placed.moved, **sizes)
    return done


def prove(table: str | Path, assignment: Assignment, outputs: Sequence[str | Path], group_column: str | None = None) -> Proof:
    """Compare the stored splits with each other and with the table.

    Each row gets a hash of all its values. The table and the splits together must have the same hashes, equally often.

    Raises:
        RuntimeError: If a row or a group is in two splits, or a row is in none: a defect, which must not reach training.
    """
    times_used = np.zeros(len(assignment), np.uint8)
    for number in range(len(SPLITS)):
        times_used[assignment == number] += 1
    shared, lost = int((times_used > 1).sum()), int((times_used == 0).sum())
    groups = _shared_groups(outputs, group_column) if group_column else 0
    hashes = [_hashes(path) for path in outputs]
    sizes = [len(part) for part in hashes]
    wanted = np.bincount(assignment, minlength=len(SPLITS)).tolist()
    same = _fingerprint([_hashes(table)]) == _fingerprint(hashes)
    if shared or lost or groups or sizes != wanted or not same:
        raise RuntimeError(
            f"the splits are wrong: {shared} rows and {groups} groups shared, {lost} rows lost, "
            f"sizes {sizes} instead of {wanted}, {'same' if same else 'other'} rows than the table"
        )
    return Proof(shared, groups, lost, _repeated(hashes))


def _check_columns_fit(method: str, time_column: str | None, group_column: str | None) -> None:
    for name, value in (("time", time_column), ("group", group_column)):
        if method == name and not value:
            raise InputError(f"parameter '{name}_column' is not set; method '{name}' needs it")
        if value and method != name:
            raise InputError(
                f"parameter '{name}_column' is '{value}' but the method is '{method}'; "
                f"set method to {name}, or leave the column out"
            )


def _drawn(
    table: str | Path,
    schema: Schema,
    method: str,
    fractions: tuple[float, ...],
    time: str | None,
    group: str | None,
    seed: int,
) -> Drawn:
    frame = tables.scan_table(table)
    if method == "time":
        times = _column(frame, time or "", "time_column")
        if not (times.dtype.is_temporal() or times.dtype.is_numeric()):
            raise InputError(f"column '{time}' holds text, not times; a split by time needs dates, times or numbers")
        return Drawn(by_time(times.to_physical().to_numpy(), fractions, times.name), "time")
    if method == "group":
        groups = _column(frame, group or "", "group_column")
        draws = rowhash.drawn(rowhash.of_table(groups.to_frame(), [groups.name]), seed)
        assignment = by_group(_numbered(groups), draws, fractions, groups.name)
        return Drawn(assignment, "group", _moved(assignment, draws, fractions))
    strata = _strata(frame, schema) if method == "stratified" else None
    hashes, by = _content(table, frame, schema)
    draws = rowhash.drawn(hashes, seed)
    assignment = by_draw(draws, np.zeros(len(draws), np.int64) if strata is None else strata, fractions)
    return Drawn(assignment, by, _moved(assignment, draws, fractions))


def _content(table: str | Path, frame: pl.LazyFrame, schema: Schema) -> tuple[np.ndarray, str]:
    """The hash that assigns each row, [N], and what it is computed from."""
    names = frame.collect_schema().names()
    content = rowhash.of_file(table, identifying_columns(schema, names))
    if len(content) and not too_alike(content):
        return content, "content"
    return rowhash.copies(rowhash.of_file(table, names)), "copy"


def _moved(assignment: Assignment, draws: np.ndarray, fractions: tuple[float, ...]) -> int:
    return int((assignment != by_border(draws, fractions)).sum())


def _strata(frame: pl.LazyFrame, schema: Schema) -> np.ndarray | None:
    """Class code of each row, [N]; None for regression."""
    if schema.target is None:
        raise InputError("the schema names no target, which a stratified split needs; use method random, time or group")
    target = _column(frame, schema.target, "target")
    if schema.task is Task.REGRESSION:
        if not target.dtype.is_numeric():
            raise InputError(f"target '{target.name}' holds no numbers, but the task is regression")
        return None
    strata = _numbered(target)
    rare = int((np.bincount(strata) < len(SPLITS)).sum())
    if rare:
        logs.event("classes_too_rare_for_every_split", level=logging.WARNING, target=target.name, classes=rare)
    return strata


def _repeated_sentence(done: Split) -> str:
    tested = sum(info.rows for info in done.tables[1:])
    return (
        f"{done.proof.rows_repeated:,} of {tested:,} rows of validation and test are equal to rows of an earlier split, so "
        "their metrics may be too good; remove repeated rows, or keep what belongs together in one split by split=group"
    )


def _column(frame: pl.LazyFrame, name: str, role: str) -> pl.Series:
    names = frame.collect_schema().names()
    if name not in names:
        raise InputError(f"{role} '{name}' is not a column of the table{did_you_mean(name, names)}")
    column = frame.select(name).collect(engine="streaming").to_series()
    missing = column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
    if missing:
        raise InputError(
            f"{role} '{name}' is missing in {missing} of {len(column)} rows; fill them in or remove the rows first"
        )
    return column


def _numbered(column: pl.Series) -> np.ndarray:
    """Values as codes by their sort order, [N], independent of the row order."""
    return (column.rank("dense") - 1).cast(pl.Int64).to_numpy()


def _shared_groups(outputs: Sequence[str | Path], column: str) -> int:
    groups = [tables.scan_table(path).select(pl.col(column).unique().alias(_GROUP)) for path in outputs]
    counts = pl.concat(groups).group_by(_GROUP).len().filter(pl.col("len") > 1)
    return counts.select(pl.len()).collect(engine="streaming").item()


def _hashes(path: str | Path) -> pl.Series:
    return tables.scan_table(path).select(pl.struct(pl.all()).hash().alias("hash")).collect(engine="streaming").to_series()


def _fingerprint(parts: Sequence[pl.Series]) -> int:
    """The sum of all hashes, modulo 2^64: the same for the same rows in any order."""
    with np.errstate(over="ignore"):
        return sum(int(part.to_numpy().sum(dtype=np.uint64)) for part in parts) % 2**64


def _repeated(parts: Sequence[pl.Series]) -> int:
    earlier, repeated = parts[0].unique(), 0
    for part in parts[1:]:
        repeated += int(part.is_in(earlier.implode()).sum())
        earlier = pl.concat([earlier, part]).unique()
    return repeated

"""Assignment of rows to splits: by content, by class, by time or by group.

A number in [0, 1) is derived from a hash of the row's own content: below the training fraction the row goes to train, and so
on. The decision depends on no other row, so a row keeps its split when the table grows, is sorted or comes from another
machine. If a class, or the whole table, would get less than half of its fraction of a split, its rows are sorted by these
numbers and cut instead. Then a few rows near a border may change splits when the table grows.
"""

from collections.abc import Sequence

import numpy as np

from stagewright.components.ingestion.fractions import SPLITS
from stagewright.components.runtime.errors import InputError

LEAST_SHARE = 0.5  # minimum share of a stratum's expected rows in a split
LEAST_DIFFERENT = 100  # rows, or sets of equal rows, that hashing divides evenly enough

Fractions = Sequence[float]
Assignment = np.ndarray  # int8, one of 0, 1, 2 (an index into SPLITS) for each row


def by_draw(draws: np.ndarray, strata: np.ndarray, fractions: Fractions) -> Assignment:
    """Assign each row by its own number, unless a stratum would lack rows in a split.

    A stratum of three rows or more is present in every split; the rows of a smaller one train.

    Args:
        draws: [N] number in [0, 1) of each row; equal rows have equal numbers and stay together if possible.
        strata: [N] stratum of each row, from 0: its class, or 0.
    """
    _enough(len(draws), "rows")
    assignment = by_border(draws, fractions)
    strata_count = int(strata.max()) + 1
    sizes = np.bincount(strata, minlength=strata_count)
    found = np.bincount(strata * len(SPLITS) + assignment, minlength=strata_count * len(SPLITS)).reshape(-1, len(SPLITS))
    short = (found < LEAST_SHARE * sizes[:, None] * np.array(fractions)).any(axis=1) | (found == 0).any(axis=1)
    small = sizes < len(SPLITS)
    assignment[small[strata]] = 0
    uneven = np.flatnonzero((short & ~small)[strata])
    uneven = uneven[np.argsort(strata[uneven], kind="stable")]
    for members in np.split(uneven, np.flatnonzero(np.diff(strata[uneven])) + 1):
        if len(members):
            assignment[members] = _cut(draws[members], fractions)
    _none_empty(assignment, "classes are too small")
    return assignment


def by_border(draws: np.ndarray, fractions: Fractions) -> Assignment:
    """Split of each row, [N], by its number alone: 0 below the first fraction, 1 below the sum of the first two, else 2."""
    return np.searchsorted(np.cumsum(fractions)[:2], draws, side="right").astype(np.int8)


def too_alike(hashes: np.ndarray) -> bool:
    """Whether the table has so few different rows that sets of equal rows cannot be divided in proportion; `hashes` is [N]."""
    sizes = np.unique(hashes, return_counts=True)[1].astype(np.float64)
    rows = sizes.sum()
    return rows**2 / (sizes**2).sum() < min(rows / 2, LEAST_DIFFERENT)


def by_time(times: np.ndarray, fractions: Fractions, column: str) -> Assignment:
    """The oldest rows become train, the newest test. Rows of the same time stay together: each border moves to the nearest
    change of time, so ties make the sizes approximate.

    Args:
        times: [N] times or numbers.

    Raises:
        InputError: If there are fewer than three different times.
    """
    different = len(np.unique(times))
    if different < len(SPLITS):
        raise InputError(f"column '{column}' has {different} different times; a split by time needs at least three")
    return _cut(times, fractions)


def by_group(groups: np.ndarray, draws: np.ndarray, fractions: Fractions, column: str) -> Assignment:
    """Keep all rows of a group in one split, by the group's own number. If groups are few or very unequal, they are placed one
    by one, the largest first, each into the split that lacks most rows.

    Args:
        groups: [N] group of each row, from 0.
        draws: [N] number in [0, 1) of each row, equal within a group.

    Raises:
        InputError: If there are fewer than three groups.
    """
    sizes = np.bincount(groups)
    if len(sizes) < len(SPLITS):
        raise InputError(
            f"column '{column}' has {len(sizes)} groups; a split by group needs at least three, one for each split"
        )
    assignment = by_border(draws, fractions)
    found = np.bincount(assignment, minlength=len(SPLITS))
    if (found >= LEAST_SHARE * len(groups) * np.array(fractions)).all():
        return assignment
    draw_of = np.empty(len(sizes))
    draw_of[groups] = draws
    return _largest_first(sizes, draw_of, len(groups) * np.array(fractions))[groups]


def _largest_first(sizes: np.ndarray, draws: np.ndarray, wanted: np.ndarray) -> Assignment:
    """Split of each group, [G]; groups of equal size are placed in the order of their numbers."""
    split_of = np.empty(len(sizes), np.int8)
    empty = set(range(len(SPLITS)))
    for placed, group in enumerate(np.lexsort((draws, -sizes))):
        open_splits = sorted(empty) if len(sizes) - placed == len(empty) else range(len(SPLITS))
        split = max(open_splits, key=lambda number: (wanted[number], -number))
        split_of[group] = split
        wanted[split] -= sizes[group]
        empty.discard(split)
    return split_of


def _cut(values: np.ndarray, fractions: Fractions) -> Assignment:
    """Cut rows into three by their value, [N]; rows of the same value stay together if there are at least three values."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) < 2:
        borders = np.cumsum(_shares(len(values), np.array(fractions) * len(values)))[:2].tolist()
    else:
        wanted = np.cumsum(fractions)[:2] * len(values)
        first = _nearest(changes[:-1], wanted[0])
        borders = [first, _nearest(changes[changes > first], wanted[1])]
    assignment = np.empty(len(values), np.int8)
    for split, part in enumerate(np.split(order, borders)):
        assignment[part] = split
    return assignment


def _shares(rows: int, wanted: np.ndarray) -> np.ndarray:
    """Row counts of the splits by largest remainder; no split is empty if there are at least three rows."""
    wanted = np.maximum(wanted, 0)
    shares = np.floor(wanted).astype(np.int64)
    for _ in range(rows - shares.sum()):
        shares[np.argmax(wanted - shares)] += 1
    for _ in range(shares.sum() - rows):
        shares[np.argmax(shares)] -= 1
    while rows >= len(SPLITS) and shares.min() == 0:
        shares[np.argmax(shares)] -= 1
        shares[np.argmin(shares)] += 1
    return shares


def _nearest(candidates: np.ndarray, wanted: float) -> int:
    return int(candidates[np.argmin(np.abs(candidates - wanted))])


def _enough(count: int, what: str) -> None:
    if count < len(SPLITS):
        raise InputError(f"the table has {count} {what}; three splits need at least {len(SPLITS)}")


def _none_empty(assignment: Assignment, why: str) -> None:
    for number, name in enumerate(SPLITS):
        if not (assignment == number).any():
            raise InputError(f"the {name} split would be empty because the {why}; give more rows")

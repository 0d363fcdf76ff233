"""Which row goes to which split: by chance, by class, by time, by group.

Only NumPy's seeded generator decides, so the same seed gives the same splits on every machine.
"""

from collections.abc import Sequence

import numpy as np

from stagewright.components.runtime.errors import InputError

SPLITS = ("train", "validation", "test")
QUANTILE_BINS = 10

Fractions = Sequence[float]
Assignment = np.ndarray  # int8, one of 0, 1, 2 (an index into SPLITS) for each row


def at_random(rows: int, fractions: Fractions, seed: int) -> Assignment:
    """Rows by chance; sizes are as near to the fractions as whole rows allow."""
    _enough(rows, "rows")
    return _shuffled(_shares(rows, np.array(fractions) * rows), np.random.default_rng(seed))


def by_stratum(strata: np.ndarray, fractions: Fractions, seed: int) -> Assignment:
    """Rows by chance within each stratum, so that every split has the strata in the same proportions.

    What is lost by rounding in one stratum is made up for in the next, so the splits have the right sizes as a whole. A
    stratum of three rows or more is present in every split.

    Args:
        strata: Number of each row's stratum, 0 and up.
    """
    _enough(len(strata), "rows")
    generator = np.random.default_rng(seed)
    assignment = np.empty(len(strata), np.int8)
    carried = np.zeros(len(SPLITS))
    for stratum in range(int(strata.max()) + 1):
        members = np.flatnonzero(strata == stratum)
        wanted = np.array(fractions) * len(members) + carried
        shares = _shares(len(members), wanted)
        carried = wanted - shares
        assignment[members] = _shuffled(shares, generator)
    _none_empty(assignment, "strata are too small")
    return assignment


def quantile_bins(values: np.ndarray, bins: int = QUANTILE_BINS) -> np.ndarray:
    """Strata of a number: bins of equally many rows by rank; fewer bins where there are few rows."""
    bins = max(1, min(bins, len(values) // 10))
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * bins // len(values)


def by_time(times: np.ndarray, fractions: Fractions, column: str) -> Assignment:
    """The oldest rows train, the newest test. Rows of the same time stay together: each border moves to the nearest change of
    time, so the sizes are only as near to the fractions as the ties allow.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) < 2:
        raise InputError(f"column '{column}' has {len(changes) + 1} different times; a split by time needs at least three")
    wanted = np.cumsum(fractions)[:2] * len(times)
    first = _nearest(changes[:-1], wanted[0])
    second = _nearest(changes[changes > first], wanted[1])
    assignment = np.empty(len(times), np.int8)
    for split, part in enumerate(np.split(order, [first, second])):
        assignment[part] = split
    return assignment


def by_group(groups: np.ndarray, fractions: Fractions, seed: int, column: str) -> Assignment:
    """All rows of a group in one split. The largest groups are placed first, each where most rows are still wanted; groups of
    equal size by chance. The sizes are as near to the fractions as the groups allow.

    Args:
        groups: Number of each row's group, 0 and up.
    """
    sizes = np.bincount(groups)
    if len(sizes) < len(SPLITS):
        raise InputError(
            f"column '{column}' has {len(sizes)} groups; a split by group needs at least three, one for each split"
        )
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    wanted = np.array(fractions) * len(groups)
    split_of = np.empty(len(sizes), np.int8)
    empty = set(range(len(SPLITS)))
    for placed, group in enumerate(shuffled[np.argsort(-sizes[shuffled], kind="stable")]):
        open_splits = sorted(empty) if len(sizes) - placed == len(empty) else range(len(SPLITS))
        split = max(open_splits, key=lambda number: (wanted[number], -number))
        split_of[group] = split
        wanted[split] -= sizes[group]
        empty.discard(split)
    return split_of[groups]


def _shares(rows: int, wanted: np.ndarray) -> np.ndarray:
    """Whole rows for each split by largest remainder; none is left out if there are three rows or more."""
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


def _shuffled(shares: np.ndarray, generator: np.random.Generator) -> Assignment:
    return generator.permutation(np.repeat(np.arange(len(SPLITS), dtype=np.int8), shares))


def _nearest(candidates: np.ndarray, wanted: float) -> int:
    return int(candidates[np.argmin(np.abs(candidates - wanted))])


def _enough(count: int, what: str) -> None:
    if count < len(SPLITS):
        raise InputError(f"the table has {count} {what}; three splits need at least {len(SPLITS)}")


def _none_empty(assignment: Assignment, why: str) -> None:
    for number, name in enumerate(SPLITS):
        if not (assignment == number).any():
            raise InputError(f"the {name} split would be empty because the {why}; use method random or give more rows")

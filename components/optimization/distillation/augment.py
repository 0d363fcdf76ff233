"""More rows like those of a table: what a teacher labels so that a student sees more of what the teacher knows.

A made row is a real one of which some columns were taken from, or moved towards, a near neighbour. Columns that go together
go on doing so, because the neighbour is near in all of them, and no value leaves its column's domain: a number lies between
two that occur, a whole number stays whole, anything else is a value that occurs, and missing values occur only where they
did.

Sources: MUNGE of Bucila, Caruana and Niculescu-Mizil, Model Compression (KDD 2006), whose swap of attributes between nearest
neighbours this is, with a draw between the two values in place of a normal one; Fakoor, Mueller, Erickson, Chaudhari and
Smola, Fast, Accurate, and Simple Models for Tabular Data via Augmented Distillation (NeurIPS 2020), for labelling such rows
with an ensemble and for how many are worth it.
"""

import numpy as np
import polars as pl

from stagewright.components.runtime.progress import progress

BLOCK_ROWS = 4096  # neighbours are looked for among this many rows: distances are one matrix product
NEIGHBOURS = 5
SHARE = 0.5  # of a row's columns that are taken from the neighbour
FEW_VALUES = 20  # a number with no more distinct values than this is a choice, not a measurement


def augment(table: pl.DataFrame, matrix: np.ndarray, rows: int, *, seed: int = 0) -> pl.DataFrame:
    """Made rows with the table's columns and types.

    Args:
        table: Raw columns, of which each is changed on its own.
        matrix: [N, F] the same rows as scaled features, by which neighbours are near; NaN counts as 0.
        rows: How many to make.
        seed: Equal seeds make equal rows.
    """
    random = np.random.default_rng(seed)
    if table.height < 2 or rows < 1:
        return table.clear()
    near = neighbours(matrix, random)
    own = _drawn(table.height, rows, random)
    other = near[own, random.integers(0, near.shape[1], rows)]
    made = {}
    for name in table.columns:
        column = table.get_column(name)
        taken = random.random(rows) < SHARE
        made[name] = _between(column, own, np.where(taken, other, own), random.random(rows))
    return pl.DataFrame(made)


def neighbours(matrix: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[N, k] positions of near rows of each row, itself excluded; searched for within random blocks of the table."""
    count = len(matrix)
    points = np.nan_to_num(np.asarray(matrix, dtype=np.float32))
    wanted = min(NEIGHBOURS, count - 1)
    found = np.empty((count, wanted), dtype=np.int64)
    order = random.permutation(count)
    blocks = np.array_split(order, max(1, round(count / BLOCK_ROWS)))
    with progress("finding neighbours", total=count, unit="rows") as advance:
        for block in blocks:
            part = points[block]
            squares = (part**2).sum(axis=1)
            distances = squares[:, None] + squares[None, :] - 2 * (part @ part.T)
            np.fill_diagonal(distances, np.inf)
            nearest = np.argpartition(distances, wanted - 1, axis=1)[:, :wanted]
            found[block] = block[nearest]
            advance(len(block))
    return found


def _drawn(count: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Positions of the rows to start from, each as often as any other."""
    whole, rest = divmod(rows, count)
    return np.concatenate([*(np.arange(count) for _ in range(whole)), random.permutation(count)[:rest]]).astype(np.int64)


def _between(column: pl.Series, own: np.ndarray, other: np.ndarray, way: np.ndarray) -> pl.Series:
    """The neighbour's value, or for a measurement one between the two; missing where the neighbour's is."""
    theirs = column.gather(other)
    if not _is_measurement(column):
        return theirs
    first, second = column.gather(own).to_numpy().astype(np.float64), theirs.to_numpy().astype(np.float64)
    both = np.isfinite(first) & np.isfinite(second)
    low, high = np.minimum(first, second), np.maximum(first, second)
    with np.errstate(invalid="ignore", over="ignore"):
        mixed = np.clip(first * (1 - way) + second * way, low, high)  # rounding must not leave the two
    values = np.where(both, mixed, second)
    missing = theirs.is_null().to_numpy()
    if column.dtype.is_integer():
        # Beyond 2^53 a float skips whole numbers; such a value is taken as it is.
        whole = np.where(both, np.rint(values), 0)
        exact = both & (np.abs(whole) < 2.0**53)
        made = pl.Series(column.name, np.where(exact, whole, 0).astype(np.int64)).cast(column.dtype)
        return pl.select(pl.when(pl.Series(exact)).then(made).otherwise(theirs).alias(column.name)).to_series()
    made = pl.Series(column.name, values).cast(column.dtype)
    return pl.select(pl.when(pl.Series(missing)).then(None).otherwise(made).alias(column.name)).to_series()


def _is_measurement(column: pl.Series) -> bool:
    return column.dtype.is_numeric() and column.n_unique() > FEW_VALUES

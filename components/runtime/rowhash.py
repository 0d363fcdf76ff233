"""A number for each row, made of its values alone: the same on every machine, in every version, in any order.

Each value is brought to one form (every number and boolean a float64, every text its UTF-8, every time its microseconds since
1970), so that an integer column that a missing value turns into floats, or a date that becomes a time, keeps its hashes. A
missing value adds nothing: a new column that is empty in old rows leaves their hashes as they are. What libraries hash by is
not used: it differs between their versions.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl

from stagewright.components.runtime import tables

VERSION = 1  # of the hash: another one makes other numbers of the same rows
NUMBER, TEXT, TIME, ARRAY = "number", "text", "time", "array"
BLOCK_ROWS, BLOCK_BYTES = 262_144, 64 * 2**20
_CODE = "code"


def forms(schema: Mapping[str, pl.DataType], columns: Sequence[str]) -> dict[str, str]:
    """What each column's values are brought to: number, text, time or array."""
    return {name: _form(schema[name]) for name in columns}


def of_file(path: str | Path, columns: Sequence[str]) -> np.ndarray:
    """The hash of each row of a stored table, [N] uint64, read in blocks.

    Args:
        columns: Those that count, in any order.

    Raises:
        InputError: If the file is missing or is not Parquet.
    """
    frame = tables.scan_table(path).select(columns)
    rows = frame.select(pl.len()).collect().item() if columns else tables.info(path).rows
    at_once = max(1, min(BLOCK_ROWS, BLOCK_BYTES // tables.row_bytes(frame.collect_schema())))
    blocks = [of_table(frame.slice(start, at_once).collect(), columns) for start in range(0, rows, at_once)] if columns else []
    return np.concatenate(blocks) if blocks else np.zeros(rows, np.uint64)


def of_table(table: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The hash of each row of a table, [N] uint64.

    Args:
        columns: Those that count, in any order.
    """
    total = np.zeros(table.height, np.uint64)
    for name in columns:
        total += _of_column(table.get_column(name))
    return _mixed(total)


def copies(hashes: np.ndarray) -> np.ndarray:
    """Hashes that tell equal ones apart, [N] uint64: each counts how many stood before it. Sizes of sets of copies only grow
    with a table, so a copy keeps its hash."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(ordered)])
    number = np.empty(len(hashes), np.uint64)
    number[order] = np.arange(len(hashes)) - np.repeat(starts, sizes)
    return _mixed(hashes + number * np.uint64(0x9E3779B97F4A7C15))


def drawn(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each hash, [N] float64, evenly spread; another seed draws anew."""
    return (_mixed(hashes ^ _number(f"seed {seed}")) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _form(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Array):
        return ARRAY
    if dtype.is_temporal():
        return TIME
    return NUMBER if dtype.is_numeric() or dtype == pl.Boolean else TEXT


def _of_column(column: pl.Series) -> np.ndarray:
    """What a column adds to the hashes, [N]; a missing value, NaN included, adds nothing."""
    form = _form(column.dtype)
    known = column.is_not_null() & column.is_not_nan() if column.dtype.is_float() else column.is_not_null()
    present = column.filter(known)
    added = np.zeros(len(column), np.uint64)
    added[known.to_numpy()] = _mixed(_VALUES[form](present) ^ _number(f"{form} {column.name}"))
    return added


def _of_numbers(values: pl.Series) -> np.ndarray:
    return (values.cast(pl.Float64).to_numpy() + 0.0).view(np.uint64)  # adding makes -0.0 the 0.0 that it equals


def _of_times(values: pl.Series) -> np.ndarray:
    return values.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy().view(np.uint64)


def _of_texts(values: pl.Series) -> np.ndarray:
    """Each different text is hashed once."""
    texts = values.cast(pl.String).alias(_CODE)
    different = texts.unique()
    numbers = [int(_number(text)) for text in different.to_list()]
    coded = pl.DataFrame([different, pl.Series("number", numbers, pl.UInt64)])
    return texts.to_frame().join(coded, on=_CODE, how="left", maintain_order="left")["number"].to_numpy()


def _of_arrays(values: pl.Series) -> np.ndarray:
    if not len(values):
        return np.zeros(0, np.uint64)
    rows = np.ascontiguousarray(values.to_numpy())
    return np.array([_digest(row.tobytes()) for row in rows], np.uint64)


_VALUES = {NUMBER: _of_numbers, TEXT: _of_texts, TIME: _of_times, ARRAY: _of_arrays}


def _number(text: str) -> np.uint64:
    return np.uint64(_digest(text.encode("utf-8", "surrogatepass")))


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Every bit depends on every bit: the last step of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = numbers.copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))

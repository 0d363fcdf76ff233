"""Conversion of Arrow types to the types of our tables before polars reads them: time zones, decimals, large integers."""

import pyarrow as pa
import pyarrow.compute as pc

from stagewright.components.runtime.errors import InputError

LARGEST = 2**63 - 1


def wide(kind: pa.DataType) -> bool:
    """Whether values of this type may exceed 64 bits, which only the values show."""
    return pa.types.is_uint64(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0)


def fits(values: pa.Array | pa.ChunkedArray) -> bool:
    """Whether all large integers fit into 64 bits."""
    ends = pc.min_max(values)
    return all(end is None or -LARGEST - 1 <= int(end) <= LARGEST for end in (ends["min"].as_py(), ends["max"].as_py()))


def stored_type(kind: pa.DataType, *, as_text: bool) -> pa.DataType:
    """The type that a column is converted to.

    Args:
        as_text: For large integers, whether some do not fit into 64 bits.
    """
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")  # a time with a zone is stored in UTC
    if wide(kind):
        return pa.string() if as_text else pa.int64()
    return pa.float64() if pa.types.is_decimal(kind) else kind


def brought(column: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """Convert a column to the stored type.

    Raises:
        InputError: If a time is outside the range that can be stored.
    """
    if column.type == kind:
        return column
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.view(pa.timestamp(column.type.unit))
    try:
        return column.cast(kind, safe=not _finer(column.type))
    except pa.ArrowInvalid:
        raise InputError(f"column '{name}' holds times beyond the year 294247, which cannot be stored") from None


def _finer(kind: pa.DataType) -> bool:
    """Whether the conversion drops fractions of a microsecond, or digits that a float cannot represent."""
    return (pa.types.is_timestamp(kind) and kind.unit == "ns") or pa.types.is_decimal(kind)

"""What the values of a column can be read as, and the narrowest type that holds for a whole file.

Text (CSV, TSV) is read by these rules, the same in every file:

- Missing: an empty or blank field, and NA, N/A, #N/A, NaN, nan, null, NULL. Quoting makes no difference.
- Boolean: true or false in any case. 0 and 1 are integers; yes and no are text.
- Integer: digits with an optional sign, within 64 bits. A leading zero ("007") or more digits than fit make it text, so that
  codes and long identifiers keep every digit.
- Float: decimal point and exponent as in 1.5, .5, -2e-3; also inf and infinity.
- Date: YYYY-MM-DD. Datetime: date and time by ISO 8601, with a space or T between; an offset or Z is converted to UTC, a time
  without one is taken as it stands.
- Anything else is text, kept as it is.

A column's type is the narrowest that fits all its values: integer widens to float, date to datetime, any other mix to text.
"""

from collections.abc import Iterable
from enum import StrEnum

import polars as pl

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")
INTEGER = r"^[+-]?(?:0|[1-9][0-9]*)$"
FLOAT = r"^[+-]?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
LOCAL_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")


class ValueType(StrEnum):
    """A type of value that a stored column can have."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    DATE = "date"
    DATETIME = "datetime"
    STRING = "string"


DTYPES: dict[ValueType, pl.DataType] = {
    ValueType.BOOLEAN: pl.Boolean(),
    ValueType.INTEGER: pl.Int64(),
    ValueType.FLOAT: pl.Float64(),
    ValueType.DATE: pl.Date(),
    ValueType.DATETIME: pl.Datetime("us"),
    ValueType.STRING: pl.String(),
}
NARROWEST_FIRST = tuple(ValueType)

# None is the type of a column without any value.
Types = dict[str, ValueType | None]

_WIDENED = {
    frozenset({ValueType.INTEGER, ValueType.FLOAT}): ValueType.FLOAT,
    frozenset({ValueType.DATE, ValueType.DATETIME}): ValueType.DATETIME,
}


def widened(one: ValueType | None, other: ValueType | None) -> ValueType | None:
    """The narrowest type that holds the values of both.

    >>> widened(ValueType.INTEGER, ValueType.FLOAT).value, widened(ValueType.BOOLEAN, ValueType.INTEGER).value
    ('float', 'string')
    """
    if one is None or other is None or one is other:
        return one or other
    return _WIDENED.get(frozenset({one, other}), ValueType.STRING)


def dtype(value_type: ValueType | None) -> pl.DataType:
    """How a column of this type is stored; one without values is stored as text."""
    return DTYPES[value_type or ValueType.STRING]


def parsed(name: str, value_type: ValueType | None, *, missing: tuple[str, ...] = MISSING) -> pl.Expr:
    """A text column read as a type: null where the text is missing or is not of that type."""
    whole = pl.col(name)
    trimmed = whole.str.strip_chars()
    present = whole if not missing else pl.when(~trimmed.is_in(missing)).then(whole)
    if value_type in (None, ValueType.STRING):
        return present.alias(name)
    value = present.str.strip_chars()
    return _READERS[value_type](value).alias(name)


def narrowest(table: pl.DataFrame, names: Iterable[str], *, missing: tuple[str, ...] = MISSING) -> Types:
    """For each text column the narrowest type that all its values can be read as."""
    counts = _present(table, names, missing)
    types: Types = {name: ValueType.STRING if count else None for name, count in counts.items()}
    for value_type in NARROWEST_FIRST[:-1]:
        undecided = {name: value_type for name, found in types.items() if found is ValueType.STRING}
        types |= dict.fromkeys(fitting(table, undecided, counts, missing=missing), value_type)
    return types


def fitting(
    table: pl.DataFrame, types: Types, counts: dict[str, int] | None = None, *, missing: tuple[str, ...] = MISSING
) -> set[str]:
    """Names of the columns whose every value can be read as the type given for it."""
    if not types:
        return set()
    counts = counts or _present(table, types, missing)
    read = table.select(parsed(name, value_type, missing=missing).count() for name, value_type in types.items()).row(0)
    return {name for name, count in zip(types, read, strict=True) if count == counts[name]}


def extended(types: Types, table: pl.DataFrame) -> Types:
    """The types of text columns, widened as far as these further rows need."""
    still = fitting(table, {name: known for name, known in types.items() if known not in (None, ValueType.STRING)})
    again = [name for name, known in types.items() if known is not ValueType.STRING and name not in still]
    found = narrowest(table, again)
    return {name: widened(known, found[name]) if name in found else known for name, known in types.items()}


def _present(table: pl.DataFrame, names: Iterable[str], missing: tuple[str, ...]) -> dict[str, int]:
    columns = list(names)
    if not columns:
        return {}
    return table.select(parsed(name, ValueType.STRING, missing=missing).count() for name in columns).row(0, named=True)


def _boolean(value: pl.Expr) -> pl.Expr:
    lower = value.str.to_lowercase()
    return pl.when(lower == "true").then(True).when(lower == "false").then(False)


def _integer(value: pl.Expr) -> pl.Expr:
    return pl.when(value.str.contains(INTEGER)).then(value).str.strip_prefix("+").cast(pl.Int64, strict=False)


def _float(value: pl.Expr) -> pl.Expr:
    lossy = value.str.contains(INTEGER) & _integer(value).is_null()
    digits = pl.when(value.str.contains(FLOAT) & ~lossy).then(value).str.strip_prefix("+")
    return digits.cast(pl.Float64, strict=False)


def _date(value: pl.Expr) -> pl.Expr:
    return pl.when(value.str.contains(DATE)).then(value).str.to_date("%Y-%m-%d", strict=False)


def _datetime(value: pl.Expr) -> pl.Expr:
    iso = value.str.replace(r"^([0-9]{4}-[0-9]{2}-[0-9]{2}) ", "${1}T")
    zoned = pl.when(iso.str.contains(r"T.*" + ZONE)).then(iso).str.replace("Z$", "+00:00")
    local = pl.when(~iso.str.contains(r"T.*" + ZONE)).then(iso)
    as_utc = [
        zoned.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False).dt.replace_time_zone(None)
        for form in ZONED_FORMATS
    ]
    as_local = [local.str.to_datetime(form, time_unit="us", strict=False) for form in LOCAL_FORMATS]
    return pl.coalesce(*as_local, _date(value).cast(pl.Datetime("us")), *as_utc)


_READERS = {
    ValueType.BOOLEAN: _boolean,
    ValueType.INTEGER: _integer,
    ValueType.FLOAT: _float,
    ValueType.DATE: _date,
    ValueType.DATETIME: _datetime,
}

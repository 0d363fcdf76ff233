"""Types of values, and the narrowest type that fits a whole column.

Text (CSV, TSV) is parsed by these rules, the same in every file:

- Missing: an empty or blank field. Among numbers, dates and booleans also the markers below (NA, n/a, null, ?, -, ...); in
  a column of texts they are texts: NA may be Namibia. Quoting makes no difference.
- Boolean: true or false in any case. 0 and 1 are integers; yes and no are text.
- Integer: digits with an optional sign, within 64 bits. A leading zero ("007") or more digits than fit make it text, so that
  codes and long identifiers keep every digit.
- Float: decimal point and exponent as in 1.5, .5, -2e-3; also inf and infinity.
- Date: YYYY-MM-DD. Datetime: date and time by ISO 8601, with a space or T between; an offset or Z is converted to UTC, a time
  without one is taken as it stands.
- Anything else is text, without surrounding blanks. `settle.py` handles other formats of numbers and dates.

A column's type is the narrowest that fits all its values: integer widens to float, date to datetime, any other mix to text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import polars as pl

from stagewright.components.runtime.errors import InputError

MARKERS = (
    "NA", "N/A", "n/a", "na", "n.a.", "N.A.", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "NaT", "null", "NULL", "Null", "None",
    "none", "NONE", "nil", "\\N", "?", "-", "--", "---", "\u2013", "\u2014", ".", "..", "(null)",
)  # fmt: skip
INTEGER = r"^[+-]?(?:0|[1-9][0-9]*)$"
FLOAT = r"^[+-]?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
LOCAL_FORMATS = tuple(f"%Y-%m-%d{between}%H:%M{seconds}" for seconds in (":%S", ":%S%.f", "") for between in " T")
ZONED_FORMATS = tuple(f"{local}%#z" for local in LOCAL_FORMATS)


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
_FIRST = 32


@dataclass(frozen=True, slots=True)
class ArrayType:
    """Arrays of one shape: the bytes of images, or float32 tensors."""

    image: bool
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'image' if self.image else 'tensor'} {list(self.shape)}"

    @property
    def dtype(self) -> pl.Array:
        return pl.Array(pl.UInt8 if self.image else pl.Float32, self.shape)


Known = ValueType | ArrayType
# None is the type of an empty column.
Types = dict[str, Known | None]

_WIDENED = {
    frozenset({ValueType.INTEGER, ValueType.FLOAT}): ValueType.FLOAT,
    frozenset({ValueType.DATE, ValueType.DATETIME}): ValueType.DATETIME,
}


def widened(one: Known | None, other: Known | None) -> Known | None:
    """The narrowest type that can store the values of both.

    >>> widened(ValueType.INTEGER, ValueType.FLOAT).value, widened(ValueType.BOOLEAN, ValueType.INTEGER).value
    ('float', 'string')
    """
    if one is None or other is None or one == other:
        return one or other
    if isinstance(one, ArrayType) or isinstance(other, ArrayType):
        raise InputError(f"a column holds {one} values in one file and {other} values in another; make them agree")
    return _WIDENED.get(frozenset({one, other}), ValueType.STRING)


def dtype(value_type: Known | None) -> pl.DataType:
    """Storage type of a column; an empty column is stored as text."""
    if isinstance(value_type, ArrayType):
        return value_type.dtype
    return DTYPES[value_type or ValueType.STRING]


def converted(text: pl.Series, value_type: Known | None, missing: Sequence[str] = ()) -> pl.Series:
    """A text column parsed as a type that all its values have; null where a value is missing.

    Raises:
        InputError: If the type is an array.
    """
    present = trimmed(text, missing)
    if isinstance(value_type, ArrayType):
        raise InputError(f"column '{text.name}' holds text, and other files of the same data hold {value_type} values")
    if value_type is None:
        return unmarked(present)
    return present if value_type is ValueType.STRING else read(present, value_type)


def trimmed(text: pl.Series, missing: Sequence[str] = ()) -> pl.Series:
    """Text without surrounding blanks; null where it is blank or one of `missing`."""
    gone = ["", *missing]

    def bare(column: pl.Expr) -> pl.Expr:
        stripped = column.str.strip_chars()
        return pl.when(~(stripped == "") if len(gone) == 1 else ~stripped.is_in(gone)).then(stripped)

    return _evaluated(text, bare)


def unmarked(text: pl.Series) -> pl.Series:
    """Trimmed text with null in place of missing-value markers."""
    return _evaluated(text, lambda column: pl.when(~column.is_in(MARKERS)).then(column))


def narrowest(text: pl.Series) -> ValueType | None:
    """The narrowest type that parses all values of a column of trimmed text, without missing-value markers.

    None if it has no value.
    """
    if text.null_count() == len(text):
        return None
    present = unmarked(text)
    if present.null_count() == len(present):
        return None
    return next((found for found in NARROWEST_FIRST if fits(present, found)), ValueType.STRING)


def fits(text: pl.Series, value_type: ValueType) -> bool:
    """Whether every value of a column of trimmed text parses as a type."""
    if value_type is ValueType.STRING:
        return True
    first = text.head(_FIRST)  # most columns that do not fit fail early
    return all(read(part, value_type).null_count() == part.null_count() for part in (first, text))


def read(text: pl.Series, value_type: ValueType) -> pl.Series:
    """Trimmed text parsed as a type other than text; null where it does not parse."""
    expression = _EXPRESSIONS.get(value_type)
    return _READERS[value_type](text) if expression is None else _evaluated(text, expression)


def _evaluated(text: pl.Series, expression: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """Evaluate one expression over a column: each call of the engine costs more than most columns."""
    return pl.DataFrame({"text": text}).select(expression(pl.col("text")).alias(text.name)).to_series()


def _boolean(text: pl.Expr) -> pl.Expr:
    lower = text.str.to_lowercase()
    return pl.when(lower == "true").then(True).when(lower == "false").then(False)


def _integer(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(INTEGER)).then(text).cast(pl.Int64, strict=False)


def _float(text: pl.Expr) -> pl.Expr:
    fits = ~text.str.contains(INTEGER) | text.cast(pl.Int64, strict=False).is_not_null()
    return pl.when(text.str.contains(FLOAT) & fits).then(text).cast(pl.Float64, strict=False)


def _date_expression(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(DATE)).then(text).str.to_date("%Y-%m-%d", strict=False)


def _date(text: pl.Series) -> pl.Series:
    return _evaluated(text, _date_expression)


def _datetime(text: pl.Series) -> pl.Series:
    first = text.head(_FIRST)
    likeliest_first = sorted(_TIME_READERS, key=lambda reader: reader(first).null_count())
    times = likeliest_first[0](text)
    for reader in likeliest_first[1:]:
        if times.null_count() == text.null_count():
            break
        times = times.zip_with(times.is_not_null(), reader(text))
    return times


def _midnight(text: pl.Series) -> pl.Series:
    return _date(text).cast(pl.Datetime("us"))


def _local(form: str, text: pl.Series) -> pl.Series:
    return text.str.to_datetime(form, time_unit="us", strict=False)


def _zoned(form: str, text: pl.Series) -> pl.Series:
    return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False).dt.replace_time_zone(None)


_TIME_READERS: tuple[Callable[[pl.Series], pl.Series], ...] = (
    *(partial(_local, form) for form in LOCAL_FORMATS),
    _midnight,
    *(partial(_zoned, form) for form in ZONED_FORMATS),
)
_READERS: dict[ValueType, Callable[[pl.Series], pl.Series]] = {ValueType.DATETIME: _datetime}
_EXPRESSIONS: dict[ValueType, Callable[[pl.Expr], pl.Expr]] = {
    ValueType.BOOLEAN: _boolean,
    ValueType.INTEGER: _integer,
    ValueType.FLOAT: _float,
    ValueType.DATE: _date_expression,
}

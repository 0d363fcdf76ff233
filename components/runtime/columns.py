"""From a table's columns to the inputs of a model's graph: numbers, canonical text of categories, microseconds.

A missing value becomes NaN, the empty string or `MISSING_TIME`, by kind. The same value gives the same input whatever type it
is stored in: category 1 is "1" as an integer, as 1.0 and as text.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl

from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME, TENSOR_KINDS, Input
from stagewright.components.runtime.tokens import Tokens

_POLARS = {
    "FP64": "Float64", "FP16": "Float32", "INT64": "Int64", "INT32": "Int32", "INT16": "Int16", "INT8": "Int8",
    "UINT64": "UInt64", "UINT32": "UInt32", "UINT16": "UInt16", "UINT8": "UInt8", "BOOL": "Boolean",
}  # fmt: skip
_EXACT_INTEGERS = 2.0**53  # below this, an integral float is written as the integer it is


def feeds(table: pl.DataFrame, inputs: Iterable[Input], tokens: Mapping[str, Tokens] | None = None) -> dict[str, np.ndarray]:
    """Graph inputs of a table in the order of `inputs`: [N, 1], [N, *shape] of images and tensors, [N, L] of tokenized text.

    Args:
        tokens: What splits the texts of each tokenized column.

    Raises:
        InputError: Naming a column that is missing or whose values are of a wrong type.
    """
    return {column.name: feed_of(series_of(table, column.name), column, tokens or {}) for column in inputs}


def feed_of(series: pl.Series, column: Input, tokens: Mapping[str, Tokens]) -> np.ndarray:
    """One column as the graph input that it is.

    Raises:
        InputError: If the values cannot be of this kind.
    """
    if column.kind in TENSOR_KINDS:
        return arrays(series, column.kind, column.shape)
    if column.tokenizer is not None:
        return tokens[column.name].ids(canonical(series, column.kind).to_list())
    if column.exact is not None:
        return _exact(series, column)
    return feed(series, column.kind)


def _exact(series: pl.Series, column: Input) -> np.ndarray:
    """A column [N, 1] in the very type that the graph takes; nothing is rounded on the way."""
    wanted = getattr(pl, _POLARS[column.exact or "FP64"])
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise _wrong_type(series, column.kind, "numbers")
    floats = column.exact in ("FP64", "FP16")
    if series.null_count() and not floats:
        row = int(series.is_null().arg_true()[0])
        raise InputError(f"column '{series.name}' is missing in row {row}, and the model needs {column.exact}")
    if series.dtype.is_float() and not floats and bool((series != series.floor()).any()):
        raise InputError(f"column '{series.name}' holds numbers that are not whole; the model needs {column.exact}")
    try:
        values = series.cast(wanted).fill_null(float("nan")) if floats else series.cast(wanted)
    except pl.exceptions.PolarsError:
        raise InputError(f"column '{series.name}' holds numbers that do not fit {column.exact}") from None
    return values.to_numpy().reshape(-1, 1).astype(np.float16 if column.exact == "FP16" else values.to_numpy().dtype)


def arrays(series: pl.Series, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """A column of images as uint8 [N, *shape], or of tensors as float32 [N, *shape]; lists of equal length will do.

    Raises:
        InputError: If a value is missing or of another shape, or a pixel is no whole number from 0 to 255.
    """
    inner = pl.UInt8 if kind == "image" else pl.Float32
    wanted = pl.Array(inner, shape)
    if series.dtype != wanted:
        if not isinstance(series.dtype, pl.Array | pl.List | pl.Null):
            raise _wrong_type(series, kind, f"arrays of shape {list(shape)}")
        if isinstance(series.dtype, pl.Array) and series.dtype.shape != shape:
            raise InputError(f"column '{series.name}' holds arrays of shape {list(series.dtype.shape)}; expected {list(shape)}")
        try:
            series = series.cast(wanted)
        except pl.exceptions.PolarsError:
            what = "whole numbers from 0 to 255" if kind == "image" else "numbers"
            raise InputError(f"column '{series.name}' holds more than arrays of shape {list(shape)} of {what}") from None
    if series.null_count():
        raise InputError(f"column '{series.name}' is missing in row {int(series.is_null().arg_true()[0])}; a {kind} cannot be")
    values = series.to_numpy()
    if kind != "image" and not np.isfinite(values).all():
        row = int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).argmax())
        raise InputError(f"column '{series.name}' holds a number in row {row} that is missing or too large for float32")
    return values


def series_of(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of a table.

    Raises:
        InputError: If there is none of this name, naming the nearest.
    """
    if name not in table.columns:
        raise InputError(f"column '{name}' is missing from the table{did_you_mean(name, table.columns)}")
    return table.get_column(name)


def feed(series: pl.Series, kind: str) -> np.ndarray:
    """One column as a graph input of shape [N, 1].

    Raises:
        InputError: If the values cannot be of this kind.
    """
    return canonical(series, kind).to_numpy().reshape(-1, 1)


def canonical(series: pl.Series, kind: str) -> pl.Series:
    """A column's values as the graph sees them: Float32 with NaN, String with "", or Int64 microseconds; never null.

    Raises:
        InputError: If the values cannot be of this kind.
    """
    return _CONVERSIONS[kind](series)


def _numeric(series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        raise _wrong_type(series, "numeric", "numbers")
    return series.cast(pl.Float32).fill_null(float("nan"))


def _boolean(series: pl.Series) -> pl.Series:
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise _wrong_type(series, "boolean", "true and false, or 1 and 0")
    values = series.cast(pl.Float32)
    if series.dtype.is_numeric():
        other = values.filter(values.is_not_nan() & (values != 0) & (values != 1)).head(1)
        if len(other):
            raise InputError(f"column '{series.name}' is boolean but holds {other[0]:g}; expected true and false, or 1 and 0")
    return values.fill_null(float("nan"))


def _text(series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if dtype.is_float():
        text = _text_of_floats(series)
    elif dtype == pl.Boolean or dtype.is_integer() or dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum, pl.Date):
        text = series.cast(pl.String)
    else:
        raise _wrong_type(series, "categorical", "text, integers, numbers or booleans")
    return text.fill_null(MISSING_STRING)


def _text_of_floats(series: pl.Series) -> pl.Series:
    value = pl.col("value")
    integral = (value == value.floor()) & (value.abs() < _EXACT_INTEGERS)
    written = pl.when(integral).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))
    frame = pl.DataFrame({"value": series})
    return frame.select(pl.when(value.is_not_nan()).then(written).alias(series.name)).get_column(series.name)


def _time(series: pl.Series) -> pl.Series:
    if not isinstance(series.dtype, pl.Datetime | pl.Date | pl.Null):
        raise _wrong_type(series, "datetime", "dates or times")
    # A time with a zone is stored in UTC; its physical value needs no conversion.
    return series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None))).to_physical().fill_null(MISSING_TIME)


def _wrong_type(series: pl.Series, kind: str, expected: str) -> InputError:
    return InputError(f"column '{series.name}' is to be {kind} but holds {series.dtype} in the table; expected {expected}")


_CONVERSIONS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "numeric": _numeric,
    "boolean": _boolean,
    "categorical": _text,
    "text": _text,
    "datetime": _time,
}

"""Conversion of JSON values to graph inputs, one column at a time.

The rules are those of `runtime/columns.py` for tables, without polars; a test compares the two. The set of value types decides
the common case, which one call converts. Only an invalid column is searched value by value, to name the row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from stagewright.components.predictor.wire.errors import BadColumn, shown
from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME

Values = Sequence[Any]

_NONE = type(None)
NUMBERS = frozenset((float, int, bool, _NONE))  # Python types of JSON numbers
_EXACT_INTEGERS = 2.0**53  # below this, an integral float is written as the integer it is


def numeric(column: str, values: Values) -> np.ndarray:
    """Numbers as float32 [N]; null is NaN, true and false are 1 and 0.

    Raises:
        BadColumn: If a value is not a number.
    """
    if not NUMBERS.issuperset(map(type, values)):
        row = _first(values, lambda value: type(value) not in NUMBERS)
        raise BadColumn(column, f"{shown(values[row])} is not a number", row=row)
    wide = np.array(values, dtype=np.float64)
    narrow = to_float32(wide)
    # float64 would round a large integer twice, to another float32 than in a table.
    for row in np.flatnonzero(np.abs(wide) > _EXACT_INTEGERS).tolist():
        if type(values[row]) is int:
            narrow[row] = np.array(values[row]).astype(np.float32)
    return narrow


def boolean(column: str, values: Values) -> np.ndarray:
    """Booleans as float32 [N]; null is NaN, 1 and 0 are true and false.

    Raises:
        BadColumn: If a value is not a boolean.
    """
    if not NUMBERS.issuperset(map(type, values)):
        row = _first(values, lambda value: type(value) not in NUMBERS)
        raise BadColumn(column, f"{shown(values[row])} is not true or false", row=row)
    return truth(column, np.array(values, dtype=np.float64))


def text(column: str, values: Values) -> np.ndarray:
    """Text as str objects [N]; null is empty, numbers and booleans are written canonically.

    Raises:
        BadColumn: If a value is a list or an object.
    """
    types = set(map(type, values))
    if types != {str}:
        if not types <= _WRITERS.keys():
            row = _first(values, lambda value: type(value) not in _WRITERS)
            raise BadColumn(column, f"{shown(values[row])} is not text, a number or a boolean", row=row)
        values = [_WRITERS[type(value)](value) for value in values]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def time(column: str, values: Values) -> np.ndarray:
    """ISO 8601 text as microseconds since 1970 in UTC, int64 [N]; a time without a zone is UTC, null is `MISSING_TIME`.

    Raises:
        BadColumn: If a value is not an ISO 8601 time.
    """
    moments = [None if value is None or value == "" else _moment(column, row, value) for row, value in enumerate(values)]
    # numpy's "not a time" is the smallest integer, which is what MISSING_TIME is.
    return np.array(moments, dtype="datetime64[us]").astype(np.int64)


def to_float32(numbers: np.ndarray) -> np.ndarray:
    """Real numbers [N] as float32 [N]. A number that is too large becomes infinite, as in a table."""
    if numbers.dtype == np.float32:
        return numbers
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def truth(column: str, numbers: np.ndarray) -> np.ndarray:
    """Numbers [N] that are 1, 0 or NaN, as float32 [N].

    Raises:
        BadColumn: If a number is another one.
    """
    other = ~((numbers == 0) | (numbers == 1) | np.isnan(numbers))
    if other.any():
        row = int(other.argmax())
        raise BadColumn(column, f"{numbers[row]:g} is not true or false", row=row)
    return numbers.astype(np.float32)


def canonical(number: float) -> str:
    """The category of a number, written as in a table: 1.0 is "1", NaN is missing.

    >>> canonical(1.0), canonical(1.5), canonical(1e-7)
    ('1', '1.5', '1e-7')
    """
    if number != number:  # noqa: PLR0124 - NaN
        return MISSING_STRING
    if number == number // 1 and abs(number) < _EXACT_INTEGERS:
        return str(int(number))
    if 1e-5 <= abs(number) < 1e-4:  # only Python switches to exponents in this range
        return np.format_float_positional(number, trim="-")
    return repr(number).replace("e-0", "e-")


def spellings(categories: Iterable[str]) -> dict[str, str]:
    """Map the canonical text of a number or boolean to the category, if the category is written differently.

    >>> spellings(["2.0", "True", "n/k", "1"])
    {'2': '2.0', 'true': 'True'}
    """
    known = set(categories)
    found: dict[str, str] = {}
    for category in categories:
        meant = _meant(category)
        if meant is not None and meant not in known:
            found.setdefault(meant, category)
    return found


def respell(texts: np.ndarray, values: Values, spelled: Mapping[str, str]) -> None:
    """Replace the text of numbers and booleans by the spelling of the training data, in place.

    Args:
        texts: Text [N] of the values.
        spelled: Result of `spellings`."""
    for place, value in enumerate(values):
        if type(value) in (int, float, bool):
            texts[place] = spelled.get(texts[place], texts[place])


def _meant(category: str) -> str | None:
    """Canonical text of the number or boolean that a category denotes; None for other texts."""
    if category.lower() in {"true", "false"}:
        return category.lower()
    try:
        return canonical(float(category)) if category.isascii() and "_" not in category else None
    except ValueError:
        return None


def missing(kind: str) -> Any:
    """The graph's value for a missing value of this kind."""
    return {"numeric": np.nan, "boolean": np.nan, "datetime": MISSING_TIME}.get(kind, MISSING_STRING)


def where_missing(feed: np.ndarray) -> np.ndarray:
    """Boolean mask of the missing entries of a graph input, in the input's shape."""
    if feed.dtype == object:
        return feed == MISSING_STRING
    return np.isnan(feed) if feed.dtype == np.float32 else feed == MISSING_TIME


def _moment(column: str, row: int, value: Any) -> datetime:
    problem = f"{shown(value)} is not a time; expected ISO 8601 such as 2024-01-31T12:00:00Z"
    if not isinstance(value, str):
        raise BadColumn(column, problem, row=row)
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise BadColumn(column, problem, row=row) from None


def _first(values: Values, wrong: Callable[[Any], bool]) -> int:
    return next(row for row, value in enumerate(values) if wrong(value))


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    float: canonical,
    bool: lambda value: "true" if value else "false",
    _NONE: lambda _: MISSING_STRING,
}

CONVERSIONS: dict[str, Callable[[str, Values], np.ndarray]] = {
    "numeric": numeric, "boolean": boolean, "categorical": text, "text": text, "datetime": time,
}  # fmt: skip

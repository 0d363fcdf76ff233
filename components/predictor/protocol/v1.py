"""KServe's V1 protocol as pure functions: decode rows, encode labels and probabilities.

A row is a list of values in the signature's order, an object by column name, or a bare value when the model takes one column.
TF Serving's column form, `{"inputs": {"column": [values]}}`, is accepted too.
"""

from functools import lru_cache
from operator import itemgetter
from typing import Any

from stagewright.components.predictor.inference.batch import BatchInput, ResultSlice, Rows
from stagewright.components.predictor.inference.columns import Columns, Feeds
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.wire.errors import RequestError, TooLarge, UnknownColumn, counted, listed, shown
from stagewright.components.predictor.wire.messages import Answer, json_bytes, json_object


def decode(columns: Columns, body: bytes, *, max_rows: int) -> BatchInput:
    """Decode the rows of a predict request and check their width. Values are checked later, when they are converted.

    Raises:
        RequestError: If the request is invalid. The sentence names the column and the row, if there is one.
    """
    document = json_object(body)
    key = "instances" if "instances" in document else "inputs"
    if key not in document:
        if "specversion" in document and isinstance(document.get("data"), dict):  # a CloudEvent with a plain JSON content type
            return decode(columns, json_bytes(document["data"]), max_rows=max_rows)
        raise RequestError('the body has neither "instances" nor "inputs"; send {"instances": [row, ...]}')
    given = document[key]
    if key == "inputs" and isinstance(given, dict):
        return _decode_columns(columns, given, max_rows)
    if not isinstance(given, list):
        raise RequestError(f'"{key}" is {shown(given)}; expected a list of rows')
    if len(given) == 1 and type(given[0]) is list and len(given[0]) == columns.width:  # fast path for the most common request
        return BatchInput(1, given)
    _check_rows(key, len(given), max_rows)
    return BatchInput(len(given), _rows(columns, given))


def encode(model: Model, result: ResultSlice) -> Answer:
    """Encode the response: "predictions" are labels or numbers; classifiers add "probabilities" in the order of the classes."""
    end = _ending(model.name, model.version)
    rows = result.batch.json
    if "prediction" in rows:
        return Answer(200, b'{"predictions":[%b],%b' % (b",".join(rows["prediction"][result.start : result.stop]), end))
    labels, probabilities = rows["label"], rows["probabilities"]
    if result.stop == result.start + 1:
        body = b'{"predictions":[%b],"probabilities":[[%b]],%b' % (labels[result.start], probabilities[result.start], end)
        return Answer(200, body)
    labels, probabilities = labels[result.start : result.stop], probabilities[result.start : result.stop]
    return Answer(200, b'{"predictions":[%b],"probabilities":[[%b]],%b' % (b",".join(labels), b"],[".join(probabilities), end))


@lru_cache(maxsize=64)
def _ending(name: str, version: str | None) -> bytes:
    """The constant end of a model's responses."""
    return json_bytes({"model_name": name} if version is None else {"model_name": name, "model_version": version})[1:]


def _rows(columns: Columns, rows: list[Any]) -> Rows:
    types = set(map(type, rows))
    if types == {list}:
        return _from_lists(columns, rows)
    if types == {dict}:
        return _from_objects(columns, rows)
    if columns.width == 1 and not types & {list, dict}:
        return [(value,) for value in rows]
    first = type(rows[0])
    row = next((row for row, value in enumerate(rows) if type(value) is not first), None)
    if first not in (list, dict) or row is None:
        values = counted(columns.width, "value")
        raise RequestError(f"row 0 is {shown(rows[0])}; expected a list of {values} or an object by column name")
    raise RequestError(f"row {row} is {shown(rows[row])}, but row 0 is {shown(rows[0])}; send all rows in one form")


def _from_lists(columns: Columns, rows: list[list[Any]]) -> Rows:
    if columns.tensor:  # the value is a list itself, with or without an enclosing list
        return [row if len(row) == 1 else (row,) for row in rows]
    if set(map(len, rows)) != {columns.width}:
        row = next(row for row, values in enumerate(rows) if len(values) != columns.width)
        got = counted(len(rows[row]), "value")
        raise RequestError(f"row {row} has {got}; the model takes {columns.width}: {listed(columns.names)}")
    return rows


def _from_objects(columns: Columns, rows: list[dict[str, Any]]) -> Rows:
    names = columns.names
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        try:
            return list(map(itemgetter(*names), rows))
        except KeyError:
            pass  # one column is missing and one is unknown; the check below names it
    known = columns.by_name.keys()
    for row, values in enumerate(rows):
        if not values.keys() <= known:
            unknown = next(name for name in values if name not in known)
            raise UnknownColumn(unknown, names, where=f"row {row}: ")
    return [[values.get(name) for name in names] for values in rows]


def _decode_columns(columns: Columns, given: dict[str, Any], max_rows: int) -> BatchInput:
    feeds: Feeds = {}
    rows = None
    for name, values in given.items():
        column = columns.find(name)
        if not isinstance(values, list):
            raise RequestError(f"column '{name}' is {shown(values)}; expected a list of values")
        rows = len(values) if rows is None else rows
        if len(values) != rows:
            raise RequestError(
                f"column '{name}' has {counted(len(values), 'value')}, but column '{next(iter(given))}' has {rows}"
            )
        _check_rows("inputs", rows, max_rows)
        feeds[name] = column.from_values(values)
    if rows is None:
        raise RequestError('"inputs" is empty: send at least one column')
    return BatchInput(rows, feeds=columns.complete(feeds, rows))


def _check_rows(key: str, rows: int, max_rows: int) -> None:
    if rows == 0:
        raise RequestError(f'"{key}" is empty: send at least one row')
    if rows > max_rows:
        raise TooLarge(f"the request has {rows} rows; this server takes at most {max_rows} at once")

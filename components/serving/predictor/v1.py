"""KServe's V1 protocol as pure functions: rows in, labels and probabilities out.

A row is a list of values in the signature's order, an object by column name, or a bare value when the model takes one column.
TF Serving's column form, `{"inputs": {"column": [values]}}`, is accepted too.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from stagewright.components.serving.predictor.columns import Columns, Feeds
from stagewright.components.serving.predictor.errors import RequestError, TooLarge, UnknownColumn, counted, listed, shown
from stagewright.components.serving.predictor.messages import Answer, json_answer, json_object
from stagewright.components.serving.predictor.model import OnnxModel, Outputs


def decode(columns: Columns, body: bytes, *, max_rows: int) -> tuple[Feeds, int]:
    """The graph's inputs and the number of rows of a predict request.

    Raises:
        RequestError: Naming what is wrong, with the column and the row where there is one.
    """
    document = json_object(body)
    key = "instances" if "instances" in document else "inputs"
    if key not in document:
        raise RequestError('the body has neither "instances" nor "inputs"; send {"instances": [row, ...]}')
    given = document[key]
    if key == "inputs" and isinstance(given, dict):
        return _decode_columns(columns, given, max_rows)
    if not isinstance(given, list):
        raise RequestError(f'"{key}" is {shown(given)}; expected a list of rows')
    _check_rows(key, len(given), max_rows)
    return columns.feeds(_transposed(columns, given)), len(given)


def encode(model: OnnxModel, outputs: Outputs) -> Answer:
    """The answer: "predictions" are labels or numbers, a classifier adds "probabilities" in the order of its classes."""
    document: dict[str, Any]
    if "prediction" in outputs:
        document = {"predictions": outputs["prediction"]}
    else:
        labels = outputs["label"]
        document = {
            "predictions": labels.tolist() if labels.dtype == object else labels,
            "probabilities": outputs["probabilities"],
        }
    document["model_name"] = model.name
    if model.version is not None:
        document["model_version"] = model.version
    return json_answer(document)


def _transposed(columns: Columns, rows: list[Any]) -> Sequence[Sequence[Any]]:
    types = set(map(type, rows))
    if types == {list}:
        return _from_lists(columns, rows)
    if types == {dict}:
        return _from_objects(columns, rows)
    if len(columns) == 1 and not types & {list, dict}:
        return [rows]
    first = type(rows[0])
    row = next((row for row, value in enumerate(rows) if type(value) is not first), None)
    if first not in (list, dict) or row is None:
        values = counted(len(columns), "value")
        raise RequestError(f"row 0 is {shown(rows[0])}; expected a list of {values} or an object by column name")
    raise RequestError(f"row {row} is {shown(rows[row])}, but row 0 is {shown(rows[0])}; send all rows in one form")


def _from_lists(columns: Columns, rows: list[list[Any]]) -> Sequence[Sequence[Any]]:
    if set(map(len, rows)) != {len(columns)}:
        row = next(row for row, values in enumerate(rows) if len(values) != len(columns))
        got = counted(len(rows[row]), "value")
        raise RequestError(f"row {row} has {got}; the model takes {len(columns)}: {listed(columns.names)}")
    return list(zip(*rows, strict=True))


def _from_objects(columns: Columns, rows: list[dict[str, Any]]) -> Sequence[Sequence[Any]]:
    names = columns.names
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        try:
            return list(zip(*map(itemgetter(*names), rows), strict=True))
        except KeyError:
            pass  # a column is absent, and another one stands in its place: the search below names it
    known = columns.by_name.keys()
    for row, values in enumerate(rows):
        if not values.keys() <= known:
            unknown = next(name for name in values if name not in known)
            raise UnknownColumn(unknown, names, where=f"row {row}: ")
    return [[values.get(name) for values in rows] for name in names]


def _decode_columns(columns: Columns, given: dict[str, Any], max_rows: int) -> tuple[Feeds, int]:
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
    return columns.complete(feeds, rows), rows


def _check_rows(key: str, rows: int, max_rows: int) -> None:
    if rows == 0:
        raise RequestError(f'"{key}" is empty: send at least one row')
    if rows > max_rows:
        raise TooLarge(f"the request has {rows} rows; this server takes at most {max_rows} at once")

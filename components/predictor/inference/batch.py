"""Requests that one inference answers: what each of them brings, and what each of them gets back."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import orjson

from stagewright.components.predictor.inference.columns import Columns, Feeds
from stagewright.components.predictor.wire.asgi import Receive
from stagewright.components.predictor.wire.errors import NoNumber, RequestError

SERVER_ERROR = 500  # a status from here on is not the request's fault

Outputs = Mapping[str, np.ndarray]
Rows = Sequence[Sequence[Any]]
Run = Callable[[Feeds], Outputs]


class BatchInput(NamedTuple):
    """The rows of one request: as values, to be converted with those of others, or as the graph's inputs.

    Attributes:
        rows: How many.
        values: One sequence a row, with a value for every column in order.
    """

    rows: int
    values: Rows | None = None
    feeds: Feeds | None = None


class BatchResult:
    """What one inference was asked and answered: all rows of all requests of a batch.

    Args:
        moments: By `perf_counter`: the batch was begun, its values were converted, the model had answered.
    """

    def __init__(self, feeds: Feeds, outputs: Outputs, moments: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.feeds, self.outputs, self.moments = feeds, outputs, moments

    @cached_property
    def json(self) -> dict[str, list[bytes]]:
        """Every row of every output as JSON, without the brackets around it; made once for all requests of the batch."""
        return {name: _json_rows(array) for name, array in self.outputs.items()}


class ResultSlice(NamedTuple):
    """One request's rows of a batch's answers."""

    batch: BatchResult
    start: int
    stop: int

    @property
    def outputs(self) -> Outputs:
        """The outputs of these rows."""
        outputs = self.batch.outputs
        first = next(iter(outputs.values()))
        if self.start == 0 and self.stop == len(first):
            return outputs
        return {name: array[self.start : self.stop] for name, array in outputs.items()}

    def json(self, name: str) -> list[bytes]:
        """These rows of an output as JSON."""
        return self.batch.json[name][self.start : self.stop]


class PendingRequest:
    """A request that waits for its answers.

    Attributes:
        deadline: Of the loop's clock; from then on nobody wants the answer.
        receive: Tells whether the client went away; asked only of those who waited long.
        result: Its share of the answers, or why it has none.
    """

    __slots__ = ("deadline", "future", "input", "receive", "result", "since")

    def __init__(
        self,
        batch_input: BatchInput,
        future: "Future[ResultSlice]",
        since: float,
        deadline: float | None,
        receive: Receive | None,
    ) -> None:
        self.input, self.future, self.since, self.deadline, self.receive = batch_input, future, since, deadline, receive
        self.result: ResultSlice | BaseException | None = None

    def resolve(self) -> None:
        """Hand the result to whoever waits for it; on the event loop."""
        if self.future.done():  # cancelled: nobody waits any more
            return
        if isinstance(self.result, ResultSlice):
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.result or RuntimeError("a batch ended without this request's answer"))


def compute(columns: Columns, requests: Sequence[PendingRequest], run: Run) -> int:
    """Answer all requests with one inference; every request has its result afterwards. Runs in any thread and never raises.

    A request that is wrong is found when the batch cannot be converted or answered as a whole: then each is tried alone, so
    that it alone is refused, for its own row. A model that says itself that it cannot answer now is not asked again.

    Returns:
        Rows that were answered.
    """
    try:
        return _together(columns, requests, run)
    except BaseException as error:  # noqa: BLE001 - handed to whom it belongs to
        if len(requests) == 1 or (isinstance(error, RequestError) and error.status >= SERVER_ERROR):
            for request in requests:
                request.result = error
            return 0
    convertible = []
    for request in requests:
        try:
            given = request.input
            request.input = BatchInput(
                given.rows, feeds=columns.feeds(given.values or ()) if given.feeds is None else given.feeds
            )
            convertible.append(request)
        except BaseException as error:  # noqa: BLE001 - handed to the request that caused it
            request.result = error
    if len(convertible) < len(requests):
        return compute(columns, convertible, run) if convertible else 0
    return sum(compute(columns, [request], run) for request in requests)


def _together(columns: Columns, requests: Sequence[PendingRequest], run: Run) -> int:
    begun = perf_counter()
    raw = [request for request in requests if request.input.values is not None]
    ready = [request for request in requests if request.input.values is None]
    feeds = [request.input.feeds or {} for request in ready]
    if raw:
        rows = raw[0].input.values or () if len(raw) == 1 else [row for request in raw for row in request.input.values or ()]
        feeds.insert(0, columns.feeds(rows))
    merged = columns.merge(feeds)
    converted = perf_counter()
    outputs = run(merged)
    answers, gaps = BatchResult(merged, outputs, (begun, converted, perf_counter())), _without_number(outputs)
    start = answered = 0
    for request in (*raw, *ready):
        stop = start + request.input.rows
        if gaps is not None and gaps[start:stop].any():
            request.result = NoNumber(int(gaps[start:stop].argmax()))
        else:
            request.result = ResultSlice(answers, start, stop)
            answered += request.input.rows
        start = stop
    return answered


def _without_number(outputs: Outputs) -> np.ndarray | None:
    """Which rows [N] have an answer that is no finite number; None where there is none."""
    found: Any = None
    for array in outputs.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            gaps = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
            found = gaps if found is None else found | gaps
    return found  # type: ignore[no-any-return]


def _json_rows(array: np.ndarray) -> list[bytes]:
    if array.dtype == object:
        values = array.tolist()
        known = {value: orjson.dumps(value) for value in set(values)}  # labels are many, classes are few
        return [known[value] for value in values]
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[2:-2].split(b"],[") if array.ndim == 2 else text[1:-1].split(b",")

"""A batch of requests: the input of each request, one inference, and the result of each request."""

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

SERVER_ERROR = 500  # lowest status of a server error

Outputs = Mapping[str, np.ndarray]
Rows = Sequence[Sequence[Any]]
Run = Callable[[Feeds], Outputs]


class BatchInput(NamedTuple):
    """The rows of one request, as raw values or as graph inputs. Raw values are converted together with other requests.

    Attributes:
        rows: Number of rows.
        values: One sequence for each row, with a value for every column in order.
        feeds: Graph inputs by column, each [rows, ...].
    """

    rows: int
    values: Rows | None = None
    feeds: Feeds | None = None


class BatchResult:
    """Inputs and outputs of one inference, for all requests of a batch.

    Args:
        feeds: Graph inputs, each [N, ...].
        outputs: Model outputs, each [N, ...].
        moments: Start of the batch, end of conversion, end of inference; values of `perf_counter`.
    """

    def __init__(self, feeds: Feeds, outputs: Outputs, moments: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.feeds, self.outputs, self.moments = feeds, outputs, moments

    @cached_property
    def json(self) -> dict[str, list[bytes]]:
        """Each row of each output as JSON without its brackets. Computed once for all requests of the batch."""
        return {name: _json_rows(array) for name, array in self.outputs.items()}


class ResultSlice(NamedTuple):
    """The rows of one request in a batch's result: `start` up to but not including `stop`."""

    batch: BatchResult
    start: int
    stop: int

    @property
    def outputs(self) -> Outputs:
        """Outputs of these rows, each [stop - start, ...]."""
        outputs = self.batch.outputs
        first = next(iter(outputs.values()))
        if self.start == 0 and self.stop == len(first):
            return outputs
        return {name: array[self.start : self.stop] for name, array in outputs.items()}

    def json(self, name: str) -> list[bytes]:
        """JSON of these rows of an output."""
        return self.batch.json[name][self.start : self.stop]


class PendingRequest:
    """A request that waits for its result.

    Attributes:
        deadline: Time of the event loop's clock after which the request is not computed.
        receive: The ASGI receive callable, to detect a disconnected client after a long wait.
        result: The request's slice of the batch's result, or its error.
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
        """Set the future's result. Must run on the event loop."""
        if self.future.done():  # cancelled
            return
        if isinstance(self.result, ResultSlice):
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.result or RuntimeError("a batch ended without a result for this request"))


def compute(columns: Columns, requests: Sequence[PendingRequest], run: Run) -> int:
    """Compute all requests with one inference and set the result of each. Runs in any thread and never raises.

    If the batch fails as a whole, each request is computed alone, so that only an invalid request is refused, with its own row
    number. If the model itself reports a server error, it is not called again.

    Returns:
        Number of rows with a result.
    """
    try:
        return _together(columns, requests, run)
    except BaseException as error:  # noqa: BLE001 - becomes the requests' result
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
        except BaseException as error:  # noqa: BLE001 - becomes the request's result
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
    """Boolean mask [N] of rows with an output that is NaN or infinite; None if there is no such row."""
    found: Any = None
    for array in outputs.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            gaps = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
            found = gaps if found is None else found | gaps
    return found  # type: ignore[no-any-return]


def _json_rows(array: np.ndarray) -> list[bytes]:
    if array.dtype == object:
        values = array.tolist()
        known = {value: orjson.dumps(value) for value in set(values)}  # encodes each class once
        return [known[value] for value in values]
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[2:-2].split(b"],[") if array.ndim == 2 else text[1:-1].split(b",")

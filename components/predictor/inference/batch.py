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


class Given(NamedTuple):
    """The rows of one request: as values, to be converted with those of others, or as the graph's inputs.

    Attributes:
        rows: How many.
        values: One sequence a row, with a value for every column in order.
    """

    rows: int
    values: Rows | None = None
    feeds: Feeds | None = None


class Answers:
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


class Share(NamedTuple):
    """One request's rows of a batch's answers."""

    answers: Answers
    start: int
    stop: int

    @property
    def outputs(self) -> Outputs:
        """The outputs of these rows."""
        outputs = self.answers.outputs
        first = next(iter(outputs.values()))
        if self.start == 0 and self.stop == len(first):
            return outputs
        return {name: array[self.start : self.stop] for name, array in outputs.items()}

    def json(self, name: str) -> list[bytes]:
        """These rows of an output as JSON."""
        return self.answers.json[name][self.start : self.stop]


class Job:
    """A request that waits for its answers.

    Attributes:
        deadline: Of the loop's clock; from then on nobody wants the answer.
        receive: Tells whether the client went away; asked only of those who waited long.
        result: Its share of the answers, or why it has none.
    """

    __slots__ = ("deadline", "future", "given", "receive", "result", "since")

    def __init__(
        self, given: Given, future: "Future[Share]", since: float, deadline: float | None, receive: Receive | None
    ) -> None:
        self.given, self.future, self.since, self.deadline, self.receive = given, future, since, deadline, receive
        self.result: Share | BaseException | None = None

    def settle(self) -> None:
        """Hand the result to whoever waits for it; on the event loop."""
        if self.future.done():  # cancelled: nobody waits any more
            return
        if isinstance(self.result, Share):
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.result or RuntimeError("a batch ended without this request's answer"))


def compute(columns: Columns, jobs: Sequence[Job], run: Run) -> int:
    """Answer all jobs with one inference; every job has its result afterwards. Runs in any thread and never raises.

    A request that is wrong is found when the batch cannot be converted or answered as a whole: then each is tried alone, so
    that it alone is refused, for its own row. A model that says itself that it cannot answer now is not asked again.

    Returns:
        Rows that were answered.
    """
    try:
        return _together(columns, jobs, run)
    except BaseException as error:  # noqa: BLE001 - handed to whom it belongs to
        if len(jobs) == 1 or (isinstance(error, RequestError) and error.status >= SERVER_ERROR):
            for job in jobs:
                job.result = error
            return 0
    convertible = []
    for job in jobs:
        try:
            given = job.given
            job.given = Given(given.rows, feeds=columns.feeds(given.values or ()) if given.feeds is None else given.feeds)
            convertible.append(job)
        except BaseException as error:  # noqa: BLE001 - handed to the request that caused it
            job.result = error
    if len(convertible) < len(jobs):
        return compute(columns, convertible, run) if convertible else 0
    return sum(compute(columns, [job], run) for job in jobs)


def _together(columns: Columns, jobs: Sequence[Job], run: Run) -> int:
    begun = perf_counter()
    raw = [job for job in jobs if job.given.values is not None]
    ready = [job for job in jobs if job.given.values is None]
    feeds = [job.given.feeds or {} for job in ready]
    if raw:
        rows = raw[0].given.values or () if len(raw) == 1 else [row for job in raw for row in job.given.values or ()]
        feeds.insert(0, columns.feeds(rows))
    merged = columns.merge(feeds)
    converted = perf_counter()
    outputs = run(merged)
    answers, gaps = Answers(merged, outputs, (begun, converted, perf_counter())), _without_number(outputs)
    start = answered = 0
    for job in (*raw, *ready):
        stop = start + job.given.rows
        if gaps is not None and gaps[start:stop].any():
            job.result = NoNumber(int(gaps[start:stop].argmax()))
        else:
            job.result = Share(answers, start, stop)
            answered += job.given.rows
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

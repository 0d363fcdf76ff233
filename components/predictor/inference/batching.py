"""Adaptive micro-batching: the next inference computes all requests that arrived while the model was busy.

An idle model computes a request at once; no request waits for others to arrive. While an inference runs, requests queue up to
a number of rows. If another thread is free, they wait a few milliseconds at most. An inference runs on the event loop if it is
expected to take less time than a switch to another thread and back; all others run in a thread.
"""

from asyncio import AbstractEventLoop, Future, TimerHandle, get_running_loop
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter

from stagewright.components.predictor.inference.batch import BatchInput, Outputs, PendingRequest, ResultSlice, compute
from stagewright.components.predictor.inference.columns import Feeds
from stagewright.components.predictor.inference.latency_estimator import LatencyEstimator
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.asgi import Receive, has_disconnected
from stagewright.components.predictor.wire.errors import DeadlineExceeded, Disconnected, QueueFull
from stagewright.components.predictor.wire.limits import Bounds

BATCH_ROWS, BATCH_MILLISECONDS = 256, 2.0  # defaults of the command line and of the model's settings
LOOKS = 2  # iterations of the event loop before a batch starts; requests that are being read join it, within microseconds
DISCONNECT_CHECK_SECONDS = 0.05  # after this wait, the server checks whether the client has disconnected
SWEEP_SECONDS = 0.02  # accuracy of deadlines in the queue


class Batcher:
    """The queue of one model, and its inferences.

    Everything except the inferences runs on the event loop, so no lock is needed.

    Args:
        model: The model.
        pool: Threads for inferences, shared by all models of the process.
        metrics: Counts rows and seconds.
        bounds: Limits of the queue.
    """

    def __init__(self, model: Model, pool: ThreadPoolExecutor, metrics: Metrics, bounds: Bounds | None = None) -> None:
        self.model, self.pool = model, pool
        self._metrics, self._bounds, self._latency = metrics, bounds or Bounds(), LatencyEstimator()
        settings = model.settings
        self._most_rows = settings.batch_rows or BATCH_ROWS
        self._longest_wait = (settings.batch_milliseconds or BATCH_MILLISECONDS) / 1000
        self._threads = settings.concurrency or pool._max_workers  # has no public name
        # The latency of another process is unpredictable, so its inferences never run on the event loop.
        self._short = 0.0 if getattr(model, "apart", False) else self._bounds.short_seconds
        self._waiting: deque[PendingRequest] = deque()
        self._rows = 0  # rows in the queue
        self._running = 0  # inferences in threads
        self._due: TimerHandle | None = None
        self._loop: AbstractEventLoop | None = None
        self._planned = False

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        return len(self._waiting)

    def check_room(self, rows: int = 1) -> None:
        """Refuse further rows if the queue is full.

        Raises:
            QueueFull: If it is, with the expected seconds until the queue has room.
        """
        bounds = self._bounds
        waiting = len(self._waiting)
        if waiting < bounds.queue_requests and (not waiting or self._rows + rows <= bounds.queue_rows):
            return
        self._metrics.rejected(self.model.name, "queue_full")
        raise QueueFull(self.model.name, waiting, self._latency.retry_after(self._rows, self._most_rows))

    async def run(self, feeds: Feeds, rows: int, deadline: float | None = None) -> Outputs:
        """Model outputs, each [rows, ...], for graph inputs, each [rows, ...].

        Raises:
            QueueFull: If the queue is full.
            RequestError: If a value is invalid, or the deadline passed before the inference began."""
        return (await self.predict(BatchInput(rows, feeds=feeds), deadline)).outputs

    def predict(
        self, batch_input: BatchInput, deadline: float | None = None, receive: Receive | None = None
    ) -> "Future[ResultSlice]":
        """Queue one request. The returned future has its result.

        Args:
            deadline: Time of the event loop's clock. A request that is still queued then is not computed.
            receive: The ASGI receive callable, to detect a disconnected client after a long wait.

        Raises:
            QueueFull: If the queue is full.
            RequestError: From the future: if a value is invalid, or the deadline passed before the inference began.
        """
        if self._waiting:
            self.check_room(batch_input.rows)
        loop = get_running_loop()
        future: Future[ResultSlice] = loop.create_future()
        self._waiting.append(PendingRequest(batch_input, future, loop.time(), deadline, receive))
        self._rows += batch_input.rows
        if loop is not self._loop:  # an earlier event loop never finishes its inferences
            self._loop, self._planned, self._running = loop, False, 0
        if not self._planned:
            self._planned = True
            loop.call_soon(self._look, loop, LOOKS)
        return future

    def _look(self, loop: AbstractEventLoop, times: int) -> None:
        """Let the event loop poll its sockets `times` more, then start inferences."""
        if times:
            loop.call_soon(self._look, loop, times - 1)
        else:
            self._start(loop)

    def _start(self, loop: AbstractEventLoop) -> None:
        """Start every inference that may start now."""
        self._planned = False
        if self._due is not None:
            self._due.cancel()
            self._due = None
        while self._waiting and self._may_run(loop.time()):
            requests, rows = self._take(loop.time())
            if not requests:
                continue
            if self._latency.seconds(rows) <= self._short:
                self._settle(requests, *self._compute(requests))
            else:
                self._running += 1
                self.pool.submit(self._run_in_thread, requests, loop)
        if self._waiting:
            wait = SWEEP_SECONDS if self._running >= self._threads else min(SWEEP_SECONDS, self._longest_wait)
            self._due = loop.call_later(wait, self._look_again, loop)

    def _may_run(self, now: float) -> bool:
        if self._running == 0:
            return True
        if self._running >= self._threads:
            return False
        return self._rows >= self._most_rows or now - self._waiting[0].since >= self._longest_wait

    def _take(self, now: float) -> tuple[list[PendingRequest], int]:
        """The next batch: requests in order of arrival, as long as their rows fit."""
        requests: list[PendingRequest] = []
        rows = 0
        while self._waiting and (not rows or rows + self._waiting[0].input.rows <= self._most_rows):
            request = self._waiting.popleft()
            self._rows -= request.input.rows
            if self._wanted(request, now):
                requests.append(request)
                rows += request.input.rows
        return requests, rows

    def _wanted(self, request: PendingRequest, now: float) -> bool:
        """Whether a request still needs its result. Resolves requests whose deadline passed or whose client disconnected."""
        if request.future.done():
            return False
        if request.deadline is not None and now >= request.deadline:
            self._metrics.rejected(self.model.name, "deadline")
            request.result = DeadlineExceeded(self.model.name, now - request.since)
        elif (
            request.receive is not None and now - request.since > DISCONNECT_CHECK_SECONDS and has_disconnected(request.receive)
        ):
            request.result = Disconnected()
        else:
            return True
        request.resolve()
        return False

    def _look_again(self, loop: AbstractEventLoop) -> None:
        """Resolve requests whose deadline has passed, and start inferences that have waited long enough."""
        now = loop.time()
        if any(
            request.future.done() or (request.deadline is not None and now >= request.deadline) for request in self._waiting
        ):
            self._waiting = deque(request for request in self._waiting if self._wanted(request, now))
            self._rows = sum(request.input.rows for request in self._waiting)
        self._due = None
        self._start(loop)

    def _compute(self, requests: list[PendingRequest]) -> tuple[int, float, float]:
        """Compute a batch: rows with a result, total seconds, seconds inside the model."""
        inside = 0.0

        def run(feeds: Feeds) -> Outputs:
            nonlocal inside
            began = perf_counter()
            try:
                return self.model.run(feeds)
            finally:
                inside += perf_counter() - began

        started = perf_counter()
        rows = compute(self.model.columns, requests, run)
        return rows, perf_counter() - started, inside

    def _run_in_thread(self, requests: list[PendingRequest], loop: AbstractEventLoop) -> None:
        """Compute a batch in a thread, and hand its results to the event loop in one call."""
        done = self._compute(requests)
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(self._finished, requests, done, loop)

    def _finished(self, requests: list[PendingRequest], done: tuple[int, float, float], loop: AbstractEventLoop) -> None:
        self._running -= 1
        self._settle(requests, *done)
        self._start(loop)

    def _settle(self, requests: list[PendingRequest], rows: int, seconds: float, inside: float) -> None:
        for request in requests:
            request.resolve()
        if rows:
            self._latency.record(rows, seconds)
            self._metrics.predicted(self.model.name, rows, inside)

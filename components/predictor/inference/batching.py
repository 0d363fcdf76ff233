"""Adaptive micro-batching: what arrives while the model computes is answered together by the next inference.

A request that finds the model idle is computed at once; nothing ever waits for company. While an inference runs, requests
gather, up to a number of rows, and for no longer than some milliseconds if another thread is free. An inference that was
measured to take less than a hop to another thread and back costs runs on the event loop; every other runs beside it.
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

BATCH_ROWS, BATCH_MILLISECONDS = 256, 2.0  # where neither the command line nor the model's settings say anything
LOOKS = 2  # at the sockets, before a batch is closed: microseconds in which those who are just being heard join it
DISCONNECT_CHECK_SECONDS = 0.05  # who waited longer may have gone away, and is asked
SWEEP_SECONDS = 0.02  # how exactly a deadline is kept by who waits


class Batcher:
    """The requests of one model and their inferences.

    Everything but the inferences themselves happens on the event loop, so nothing here needs a lock.

    Args:
        model: What answers.
        pool: Threads in which models compute, shared by all models of the process.
        metrics: Where rows and seconds are counted.
    """

    def __init__(self, model: Model, pool: ThreadPoolExecutor, metrics: Metrics, bounds: Bounds | None = None) -> None:
        self.model, self.pool = model, pool
        self._metrics, self._bounds, self._latency = metrics, bounds or Bounds(), LatencyEstimator()
        settings = model.settings
        self._most_rows = settings.batch_rows or BATCH_ROWS
        self._longest_wait = (settings.batch_milliseconds or BATCH_MILLISECONDS) / 1000
        self._threads = settings.concurrency or pool._max_workers  # which has no public name
        # What another process answers may take any time, whatever was measured: nobody waits for it on the event loop.
        self._short = 0.0 if getattr(model, "apart", False) else self._bounds.short_seconds
        self._waiting: deque[PendingRequest] = deque()
        self._rows = 0  # of those who wait
        self._running = 0  # inferences beside the loop
        self._due: TimerHandle | None = None
        self._loop: AbstractEventLoop | None = None
        self._planned = False

    @property
    def waiting(self) -> int:
        """Requests that wait for an inference."""
        return len(self._waiting)

    def check_room(self, rows: int = 1) -> None:
        """Refuse more rows where too much waits already.

        Raises:
            QueueFull: With the seconds after which there will be room.
        """
        bounds = self._bounds
        waiting = len(self._waiting)
        if waiting < bounds.queue_requests and (not waiting or self._rows + rows <= bounds.queue_rows):
            return
        self._metrics.rejected(self.model.name, "queue_full")
        raise QueueFull(self.model.name, waiting, self._latency.retry_after(self._rows, self._most_rows))

    async def run(self, feeds: Feeds, rows: int, deadline: float | None = None) -> Outputs:
        """Answers to the graph's inputs, computed together with those of others."""
        return (await self.predict(BatchInput(rows, feeds=feeds), deadline)).outputs

    def predict(
        self, batch_input: BatchInput, deadline: float | None = None, receive: Receive | None = None
    ) -> "Future[ResultSlice]":
        """One request's answers, computed together with those of others.

        Args:
            deadline: Of the loop's clock; a request that still waits then is not computed.
            receive: Where the client's disconnection would be heard of, after a long wait.

        Raises:
            QueueFull: If too many wait already.
            RequestError: Through the future, if a value is wrong, or the deadline passed before the inference began.
        """
        if self._waiting:
            self.check_room(batch_input.rows)
        loop = get_running_loop()
        future: Future[ResultSlice] = loop.create_future()
        self._waiting.append(PendingRequest(batch_input, future, loop.time(), deadline, receive))
        self._rows += batch_input.rows
        if loop is not self._loop:  # what an earlier loop began is never heard of again
            self._loop, self._planned, self._running = loop, False, 0
        if not self._planned:
            self._planned = True
            loop.call_soon(self._look, loop, LOOKS)
        return future

    def _look(self, loop: AbstractEventLoop, times: int) -> None:
        """Let the loop look at its sockets so many times more, and begin then."""
        if times:
            loop.call_soon(self._look, loop, times - 1)
        else:
            self._start(loop)

    def _start(self, loop: AbstractEventLoop) -> None:
        """Begin every inference that may begin now."""
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
        """The next batch: who waited longest, and who follows as long as all fit."""
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
        """Whether somebody still waits for this answer; a deadline that has passed is said so."""
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
        """Answer those whose deadline has passed, and begin what has waited long enough."""
        now = loop.time()
        if any(
            request.future.done() or (request.deadline is not None and now >= request.deadline) for request in self._waiting
        ):
            self._waiting = deque(request for request in self._waiting if self._wanted(request, now))
            self._rows = sum(request.input.rows for request in self._waiting)
        self._due = None
        self._start(loop)

    def _compute(self, requests: list[PendingRequest]) -> tuple[int, float, float]:
        """Rows answered, seconds of everything, seconds inside the model."""
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
        """One batch in a thread; the loop is woken once for all of it."""
        done = self._compute(requests)
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
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

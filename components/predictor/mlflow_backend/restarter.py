"""Keeping a model's process running: ended when it hangs or grows too large, started again whenever it has ended."""

import threading
import time
from collections.abc import Callable
from math import ceil

from stagewright.components.predictor.liveness import LIVENESS_TIMEOUT_SECONDS
from stagewright.components.predictor.mlflow_backend.process import ModelProcess
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import StagewrightError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0  # a process that lived so long did not end because of how it was started
LOOK_SECONDS = 0.25


class Restarter:
    """The one process of a model, and the ones that take its place.

    Args:
        name: Of the model, for the log.
        process: The first one, which is ready.
        start: Makes another one, and returns it when it is ready.
        memory: Most bytes that the process may hold; it is ended when it holds more. None sets no limit.
        liveness_timeout: Longest time without a sign of life; it is ended when it is silent for longer.
    """

    def __init__(
        self, name: str, process: ModelProcess, start: Callable[[], ModelProcess], *, memory: int | None = None,
        liveness_timeout: float = LIVENESS_TIMEOUT_SECONDS,
    ) -> None:  # fmt: skip
        self.name = name
        self._start, self._memory, self._liveness_timeout = start, memory, liveness_timeout
        self._process: ModelProcess | None = process
        self._changed = threading.Condition()
        self._attempts, self._due, self._start_seconds = 0, 0.0, 1.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)
        self._thread.start()

    @property
    def process(self) -> ModelProcess | None:
        """The one that answers, while there is one."""
        return self._process

    @property
    def retry_after(self) -> int:
        """Whole seconds in which a process is expected to answer again; at least 1."""
        return max(1, ceil(self._due - time.monotonic()))

    def lose(self, process: ModelProcess) -> None:
        """End a process that is of no use any more: answers are left in it that nobody waits for, or it has ended itself."""
        with self._changed:
            if self._process is process:
                self._process, self._due = None, time.monotonic() + FIRST_PAUSE_SECONDS + self._start_seconds
        process.kill()

    def successor(self, lost: ModelProcess, until: float) -> ModelProcess | None:
        """The process that takes a lost one's place; None if none does by then, because it cannot be started or takes too long.

        Args:
            until: A moment of the monotonic clock.
        """
        with self._changed:
            attempts = self._attempts

            def settled() -> bool:
                return self._process not in (None, lost) or self._attempts > attempts or self._closing.is_set()

            self._changed.wait_for(settled, max(0.0, until - time.monotonic()))
            return None if self._process is lost else self._process

    def close(self) -> None:
        """End the process for good."""
        self._closing.set()
        with self._changed:
            process, self._process = self._process, None
            self._changed.notify_all()
        if process is not None:
            process.close()
        self._thread.join(LOOK_SECONDS * 4)

    def _keep(self) -> None:
        pause, began = FIRST_PAUSE_SECONDS, time.monotonic()
        process = self._process
        while not self._closing.is_set():
            if process is not None and process.wait(LOOK_SECONDS) is None:
                self._look_after(process)
                continue
            if self._closing.is_set():
                return
            pause = FIRST_PAUSE_SECONDS if time.monotonic() - began > STEADY_SECONDS else pause
            with self._changed:
                self._process, self._due = None, time.monotonic() + pause + self._start_seconds
            if process is not None:
                process.close()
            code = process.exit_code if process else None
            logs.event("worker_ended", model=self.name, exit_code=code, restart_in_seconds=pause)
            if self._closing.wait(pause):
                return
            pause, began = min(pause * 2, LONGEST_PAUSE_SECONDS), time.monotonic()
            process = self._start_again(pause)

    def _start_again(self, next_pause: float) -> ModelProcess | None:
        began = time.monotonic()
        process: ModelProcess | None = None
        try:
            process = self._start()
            logs.event("worker_started", model=self.name, worker=process.pid)
        except StagewrightError as error:
            logs.event("worker_not_started", model=self.name, error=str(error))
        with self._changed:
            self._attempts += 1
            self._start_seconds = time.monotonic() - began
            self._due = time.monotonic() + next_pause + self._start_seconds
            if not self._closing.is_set():
                self._process = process
            self._changed.notify_all()
        if process is not None and self._closing.is_set():
            process.close()
            return None
        return process

    def _look_after(self, process: ModelProcess) -> None:
        held, silent = process.memory, process.heartbeat.seconds_since_last()
        if self._memory is not None and held > self._memory:
            logs.event("worker_too_large", model=self.name, worker=process.pid, bytes=held, limit=self._memory)
        elif silent > self._liveness_timeout:
            logs.event(
                "worker_silent", model=self.name, worker=process.pid, seconds=round(silent, 1), limit=self._liveness_timeout
            )
        else:
            return
        process.kill()

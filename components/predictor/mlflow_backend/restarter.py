"""Keeps a model's process running: kills it when it hangs or uses too much memory, and restarts it when it ends."""

import threading
import time
from collections.abc import Callable
from math import ceil

from stagewright.components.predictor.liveness import LIVENESS_TIMEOUT_SECONDS
from stagewright.components.predictor.mlflow_backend.process import ModelProcess
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import StagewrightError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0  # after this lifetime, the delay before a restart is reset
LOOK_SECONDS = 0.25


class Restarter:
    """Supervises the process of a model and restarts it.

    Args:
        name: Name of the model, for the log.
        process: The first process, which is ready.
        start: Starts another process and waits until it is ready.
        memory: Limit of resident memory in bytes; a process above it is killed. None sets no limit.
        liveness_timeout: Longest time without a heartbeat, in seconds; a process is killed after it.
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
        """The running process; None if there is none."""
        return self._process

    @property
    def retry_after(self) -> int:
        """Expected whole seconds until a process is ready again; at least 1."""
        return max(1, ceil(self._due - time.monotonic()))

    def lose(self, process: ModelProcess) -> None:
        """Kill a process that cannot be used any more."""
        with self._changed:
            if self._process is process:
                self._process, self._due = None, time.monotonic() + FIRST_PAUSE_SECONDS + self._start_seconds
        process.kill()

    def successor(self, lost: ModelProcess, until: float) -> ModelProcess | None:
        """Wait for the successor of a lost process; None if it cannot be started or does not start in time.

        Args:
            lost: The lost process.
            until: Deadline, in seconds of the monotonic clock.
        """
        with self._changed:
            attempts = self._attempts

            def settled() -> bool:
                return self._process not in (None, lost) or self._attempts > attempts or self._closing.is_set()

            self._changed.wait_for(settled, max(0.0, until - time.monotonic()))
            return None if self._process is lost else self._process

    def close(self) -> None:
        """End the process without a restart."""
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

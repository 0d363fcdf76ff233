"""Progress of work that takes longer than two seconds: a bar on a terminal, `progress` events for whoever watches a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from stagewright.components.runtime import logs

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_SECONDS = 2.0
EVENT_SECONDS = 1.0


class Advance(Protocol):
    """Tell how much was done since the last call; `total` replaces what was known of the whole."""

    def __call__(self, amount: float = 1.0, *, total: float | None = None) -> None: ...


@contextmanager
def progress(description: str, *, total: float | None = None, unit: str = "") -> Iterator[Advance]:
    """Report progress of a block of work; silent during its first two seconds.

    Args:
        description: What is being done, as the bar's label.
        total: The whole, in `unit`s; None when it is not known.
        unit: What is counted: "rows", "bytes".
    """
    reporter = _Reporter(description, total, unit)
    try:
        yield reporter.advance
    finally:
        reporter.close()


class _Reporter:
    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0.0
        self.started = self.reported = time.monotonic()
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def advance(self, amount: float = 1.0, *, total: float | None = None) -> None:
        self.done += amount
        self.total = self.total if total is None else total
        now = time.monotonic()
        if now - self.started < QUIET_SECONDS:
            return
        if sys.stderr.isatty():
            self._draw()
        elif now - self.reported >= EVENT_SECONDS:
            self.reported = now
            logs.event("progress", what=self.description, done=self.done, total=self.total, unit=self.unit)

    def _draw(self) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.description, total=self.total)
        if self.task is not None:
            self.bar.update(self.task, completed=self.done, total=self.total)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()

"""What the load generator counts: answers, what was lost, and how long each took."""

import numpy as np


class Measurement:
    """Counts of the requests within a time, from the start of the measurement to its end.

    Attributes:
        completed: Successful answers that came within the time.
        statuses: Answers by status, of requests that began within the time.
        errors: Requests that were lost within the time, or not answered at its end.
    """

    def __init__(self) -> None:
        self.start, self.end = 0.0, 0.0
        self.completed, self.errors = 0, 0
        self.statuses: dict[int, int] = {}
        self._times, self._count = np.empty(1 << 16), 0

    def between(self, start: float, end: float) -> None:
        """Count what happens between these moments of the generator's clock."""
        self.start, self.end = start, end

    def answered(self, began: float, now: float, status: int) -> None:
        """A request that began then has its answer."""
        good = 200 <= status < 300
        if began >= self.start:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if good:
                self._record(now - began)
        if good and self.start <= now < self.end:
            self.completed += 1

    def lost(self, began: float, now: float) -> None:
        """A request that began then gets no answer any more; also what began in the warm-up and hung until now counts."""
        if now >= self.start:
            self.errors += 1
            self._record(now - began)

    def latencies(self) -> np.ndarray:
        """Seconds, of the successful and the unanswered requests that began within the time."""
        return self._times[: self._count]

    def _record(self, seconds: float) -> None:
        if self._count == len(self._times):
            self._times = np.concatenate([self._times, np.empty_like(self._times)])
        self._times[self._count] = seconds
        self._count += 1

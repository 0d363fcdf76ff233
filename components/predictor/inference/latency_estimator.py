"""How long a model takes, learned from what it took: where its inferences run, and when a full queue will have room."""

from math import ceil, inf

_SHORTER, _LONGER = 0.5, 0.1  # weights of a new measurement
LONGEST_RETRY = 60  # seconds


class LatencyEstimator:
    """Seconds that a batch takes, by its size in powers of two; from converting its rows to its answers.

    A measurement can be too long, when something else held the processor, and never too short. So what is shorter than
    expected counts for more than what is longer.
    """

    def __init__(self) -> None:
        self._seconds: list[float | None] = [None] * 64

    def record(self, rows: int, seconds: float) -> None:
        """Learn from one batch."""
        size = rows.bit_length()
        known = self._seconds[size]
        if known is None:
            self._seconds[size] = seconds
        else:
            self._seconds[size] = known + (_SHORTER if seconds < known else _LONGER) * (seconds - known)

    def seconds(self, rows: int) -> float:
        """What a batch of this size is expected to take; without any experience, forever."""
        size = rows.bit_length()
        known = self._seconds[size]
        if known is not None:
            return known
        for smaller in range(size - 1, -1, -1):
            known = self._seconds[smaller]
            if known is not None:
                return known * 2 ** (size - smaller)
        return next((known for known in self._seconds if known is not None), inf)

    def retry_after(self, rows: int, most: int) -> int:
        """Whole seconds in which so many rows, taken in batches of at most so many, will have been worked off.

        At least 1 second, and no more than a minute, whatever was measured.
        """
        batch = min(rows, most)
        seconds = self.seconds(batch) * rows / max(1, batch)
        return 1 if seconds == inf else min(LONGEST_RETRY, max(1, ceil(seconds)))

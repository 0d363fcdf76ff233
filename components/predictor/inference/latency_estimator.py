"""Estimates a model's latency from measurements. Decides where inferences run, and the Retry-After of a full queue."""

from math import ceil, inf

_SHORTER, _LONGER = 0.5, 0.1  # weights of a new measurement
LONGEST_RETRY = 60  # seconds


class LatencyEstimator:
    """Expected seconds of a batch, from conversion to outputs, by its size in powers of two.

    Other processes can lengthen a measurement but never shorten it. So shorter measurements have a higher weight.
    """

    def __init__(self) -> None:
        self._seconds: list[float | None] = [None] * 64

    def record(self, rows: int, seconds: float) -> None:
        """Add the measurement of one batch."""
        size = rows.bit_length()
        known = self._seconds[size]
        if known is None:
            self._seconds[size] = seconds
        else:
            self._seconds[size] = known + (_SHORTER if seconds < known else _LONGER) * (seconds - known)

    def seconds(self, rows: int) -> float:
        """Expected seconds of a batch of this size; infinity without a measurement."""
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
        """Expected whole seconds until `rows` queued rows are computed in batches of at most `most` rows.

        At least 1, at most 60.
        """
        batch = min(rows, most)
        seconds = self.seconds(batch) * rows / max(1, batch)
        return 1 if seconds == inf else min(LONGEST_RETRY, max(1, ceil(seconds)))

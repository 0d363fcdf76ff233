"""Metrics of the payload log."""

from stagewright.components.predictor.telemetry.instruments import MetricDescription
from stagewright.components.predictor.telemetry.metrics import Metrics

_ROWS = MetricDescription("stagewright_payload_rows", "Rows of predictions written to the payload log.", ("model",))
_DROPPED = MetricDescription(
    "stagewright_payload_dropped_rows",
    "Rows of predictions that the payload log lost: queue (more than it may hold), store (the store is too slow or down), "
    "shutdown (not sent in time), error.",
    ("reason",),
)
_FAILED = MetricDescription("stagewright_payload_failed_uploads", "Attempts to write a file of the payload log that failed.")


class Counts:
    """Counts rows and failed uploads of the payload log. All methods are thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        self._rows, self._dropped, self._failed = (metrics.counter(described) for described in (_ROWS, _DROPPED, _FAILED))

    def rows(self, model: str, rows: int) -> None:
        """Count rows that were written to the store."""
        self._rows.add(model, by=rows)

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that were dropped.

        Args:
            reason: queue, store, shutdown or error.
        """
        self._dropped.add(reason, by=rows)

    def failed(self) -> None:
        """Count a failed upload."""
        self._failed.add()

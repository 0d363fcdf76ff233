"""What the payload log counts."""

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
    """Rows and failures, among the server's metrics. Every method may be called from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._rows, self._dropped, self._failed = (metrics.counter(described) for described in (_ROWS, _DROPPED, _FAILED))

    def rows(self, model: str, rows: int) -> None:
        """Count rows that are where they belong."""
        self._rows.add(model, by=rows)

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that are lost.

        Args:
            reason: queue, store, shutdown or error.
        """
        self._dropped.add(reason, by=rows)

    def failed(self) -> None:
        """Count an attempt to write a file."""
        self._failed.add()

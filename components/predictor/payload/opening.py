"""Opening of the payload log."""

from typing import TYPE_CHECKING

from stagewright.components.predictor.payload.settings import PayloadSettings

if TYPE_CHECKING:
    from stagewright.components.predictor.payload.log import PayloadLog
    from stagewright.components.predictor.telemetry.metrics import Metrics


def open_payload_log(settings: PayloadSettings | None, metrics: "Metrics") -> "PayloadLog | None":
    """Open the payload log; None without settings. Its modules are imported only if it is enabled.

    Raises:
        InputError: If the destination is malformed or not configured.
    """
    if settings is None:
        return None
    from stagewright.components.predictor.payload.counts import Counts
    from stagewright.components.predictor.payload.log import PayloadLog

    return PayloadLog(settings, Counts(metrics))

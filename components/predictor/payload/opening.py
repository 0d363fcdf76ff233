"""Opens the payload log of a process, where there is one."""

from typing import TYPE_CHECKING

from stagewright.components.predictor.payload.settings import PayloadSettings

if TYPE_CHECKING:
    from stagewright.components.predictor.payload.log import PayloadLog
    from stagewright.components.predictor.telemetry.metrics import Metrics


def open_payload_log(settings: PayloadSettings | None, metrics: "Metrics") -> "PayloadLog | None":
    """The log of this process; what it is made of is imported only where there is one.

    Raises:
        InputError: If the destination cannot be used, whatever its state.
    """
    if settings is None:
        return None
    from stagewright.components.predictor.payload.counts import Counts
    from stagewright.components.predictor.payload.log import PayloadLog

    return PayloadLog(settings, Counts(metrics))

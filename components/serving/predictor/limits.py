"""What requests may hold, one alone and all together."""

from dataclasses import dataclass, field

from stagewright.components.serving.predictor.batching import Bounds
from stagewright.components.serving.predictor.connections import ConnectionLimits

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold, and all requests together.

    Attributes:
        held_bytes: Of all requests' bodies at any time; a request beyond is refused.
        timeout_seconds: After which a request that was not begun is given up, unless it says otherwise; None waits.
        bounds: Of each model's queue.
        connections: How long the parts of a request may take, and how many connections there may be.
    """

    body_bytes: int = 64 * MEBIBYTE
    rows: int = 100_000
    held_bytes: int = 256 * MEBIBYTE
    timeout_seconds: float | None = 60.0
    bounds: Bounds = field(default_factory=Bounds)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)

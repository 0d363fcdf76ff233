"""What requests may hold, one alone and all together, and how long their parts may take."""

import resource
from dataclasses import dataclass, field

MEBIBYTE = 1024 * 1024
IDLE_SECONDS = 75.0  # longer than proxies and client pools wait, so that it is not us who cut a request off
HEAD_SECONDS, BODY_SECONDS = 30.0, 60.0
MOST_CONNECTIONS = 16_384
SHORT_SECONDS = 0.0005  # an inference up to this long runs on the event loop


def most_connections() -> int:
    """Half of the descriptors that this process may open, at most 16,384: models, logs and other ports need some, too."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(MOST_CONNECTIONS, MOST_CONNECTIONS if allowed == resource.RLIM_INFINITY else allowed // 2))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long the parts of a request may take, and how many connections there may be.

    Attributes:
        idle_seconds: Until a request begins, on a new connection or after an answer; also until an answer is read.
        head_seconds: From the first byte of a request to the end of its head.
        body_seconds: From the end of the head to the end of the body.
        most: Connections of a process.
    """

    idle_seconds: float = IDLE_SECONDS
    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    most: int = field(default_factory=most_connections)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait for a model, and which inferences run on the event loop.

    Attributes:
        queue_requests: Most requests that wait; the next is refused.
        queue_rows: Most rows that wait; a larger request is taken while nothing waits.
        short_seconds: An inference up to this long runs on the event loop; 0 runs all beside it.
    """

    queue_requests: int = 1000
    queue_rows: int = 100_000
    short_seconds: float = SHORT_SECONDS


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

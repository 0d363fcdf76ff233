"""Limits of requests: sizes of one and of all, and timeouts of their parts."""

import resource
from dataclasses import dataclass, field

MEBIBYTE = 1024 * 1024
IDLE_SECONDS = 75.0  # above the idle timeouts of proxies and client pools, so that they close connections first
HEAD_SECONDS, BODY_SECONDS = 30.0, 60.0
MOST_CONNECTIONS = 16_384
SHORT_SECONDS = 0.0005  # an inference expected to be at most this long runs on the event loop


def most_connections() -> int:
    """Half of the file descriptors that this process may open, at most 16,384. Models, logs and other ports need the rest."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(MOST_CONNECTIONS, MOST_CONNECTIONS if allowed == resource.RLIM_INFINITY else allowed // 2))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Timeouts of the parts of a request, and the number of connections.

    Attributes:
        idle_seconds: Until a request begins, on a new connection or after a response. Also until the client reads a response.
        head_seconds: From the first byte of a request to the end of its head.
        body_seconds: From the end of the head to the end of the body.
        most: Most connections of a process.
    """

    idle_seconds: float = IDLE_SECONDS
    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    most: int = field(default_factory=most_connections)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a model's queue, and the limit for inferences on the event loop.

    Attributes:
        queue_requests: Most queued requests. Further requests are refused.
        queue_rows: Most queued rows. A larger request is accepted if the queue is empty.
        short_seconds: Inferences expected to be at most this long run on the event loop; 0 runs all in threads.
    """

    queue_requests: int = 1000
    queue_rows: int = 100_000
    short_seconds: float = SHORT_SECONDS


@dataclass(frozen=True, slots=True)
class Limits:
    """Size limits of one request and of all requests together.

    Attributes:
        body_bytes: Largest request body.
        rows: Most rows of a request.
        held_bytes: Most bytes of all request bodies in memory. Further requests are refused.
        timeout_seconds: Time in the queue after which a request is refused, unless it has its own timeout; None waits forever.
        bounds: Limits of each model's queue.
        connections: Timeouts, and the number of connections.
    """

    body_bytes: int = 64 * MEBIBYTE
    rows: int = 100_000
    held_bytes: int = 256 * MEBIBYTE
    timeout_seconds: float | None = 60.0
    bounds: Bounds = field(default_factory=Bounds)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)

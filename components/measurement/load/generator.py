"""Load on an HTTP server from one thread: raw sockets on an event queue, lean enough that the server stays what is measured.

A closed loop keeps a number of connections busy: each sends its next request when the last is answered. An open loop sends
at a rate whatever the server does, and counts a request's time from the moment at which it was due: a server that stalls
delays requests that were not sent yet too, which a closed loop would never notice (coordinated omission).
"""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stagewright.components.measurement.load.connections import Connections
from stagewright.components.measurement.load.measurement import Measurement
from stagewright.components.measurement.load.sockets import resolve
from stagewright.components.runtime.errors import BadParameter

PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load, in the time that was measured.

    Attributes:
        requests_per_second: Successful answers (status 2xx) that came within that time, a second.
        p50_ms: Median latency of the successful answers; not a number where there was none. Like all latencies here it counts a
            request that was never answered as long as it was waited for, which is less than it would have taken.
        statuses: Answers by HTTP status.
        errors: Requests without an answer: refused, cut off, or still waited for at the end.
        seconds: How long was measured, after the warm-up.
        requests: Answers of any status.
        generator_cpu: Share of one core that the generator itself used; near 1 it is the generator that was measured.
    """

    requests_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[int, int]
    errors: int
    seconds: float
    requests: int
    generator_cpu: float = 0.0

    @property
    def failed(self) -> int:
        """Requests that were not answered with success."""
        return self.errors + sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"statuses": {str(status): count for status, count in self.statuses.items()}}


def http_request(path: str, body: bytes, headers: Mapping[str, str] | None = None, *, host: str = "localhost") -> bytes:
    """A whole HTTP/1.1 request that keeps its connection: POST, or GET where there is no body.

    >>> http_request("/v2/health/live", b"")
    b'GET /v2/health/live HTTP/1.1\\r\\nhost: localhost\\r\\n\\r\\n'
    """
    lines = {"host": host, **{name.lower(): value for name, value in (headers or {}).items()}}
    if body:
        lines = {"content-type": "application/json", **lines, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def run_load(
    address: str,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    rate: float | None = None,
    warmup: float = 0.5,
    poisson: bool = False,
    patience: float = PATIENCE_SECONDS,
    seed: int = 0,
) -> Load:
    """Send requests, in their order and over again, and measure.

    Args:
        address: `http://host:port` or `host:port`.
        requests: Whole HTTP/1.1 requests: see http_request. Each connection has one under way at most.
        connections: Connections to keep open.
        seconds: How long to measure.
        rate: Requests a second of an open loop; without it the loop is closed.
        warmup: Seconds of the same load before the measurement, not counted.
        poisson: Requests of an open loop come at random, as those of many independent callers do, and not evenly.
        patience: Seconds for which answers are waited for at the end; what is not answered then counts as an error.
        seed: Of the random arrivals.

    Raises:
        BadParameter: For a value that cannot be used.
        ServiceUnavailable: If nothing accepts connections at the address.
        InputError: If the server answers in a way that is not understood, such as without Content-Length.
    """
    _check(requests, connections, seconds, rate, warmup)
    pool = Connections(resolve(address), list(requests), connections)
    try:
        with _undisturbed():
            began = time.perf_counter()
            used = time.process_time()
            start, end = began + warmup, began + warmup + seconds
            if rate is None:
                pool.closed_loop(start, end, patience)
            else:
                due = began + _schedule(rate, warmup + seconds, np.random.default_rng(seed) if poisson else None)
                pool.open_loop(due[due < end].tolist(), start, end, patience)
            used = (time.process_time() - used) / (time.perf_counter() - began)
    finally:
        pool.close()
    return _load(pool.measured, seconds, used)


def _schedule(rate: float, seconds: float, random: np.random.Generator | None) -> np.ndarray:
    """When requests are due, in seconds from the start."""
    count = max(1, round(rate * seconds))
    if random is None:
        return np.arange(count) / rate
    return np.cumsum(random.exponential(1 / rate, count + int(5 * np.sqrt(count)) + 1))


def _load(measured: Measurement, seconds: float, cpu: float) -> Load:
    times = measured.latencies() * 1000
    quantiles = np.percentile(times, [50, 90, 99, 100]) if len(times) else np.full(4, np.nan)
    p50, p90, p99, largest = (float(value) for value in quantiles)
    return Load(
        requests_per_second=measured.completed / seconds, p50_ms=p50, p90_ms=p90, p99_ms=p99, max_ms=largest,
        statuses=dict(sorted(measured.statuses.items())), errors=measured.errors, seconds=seconds,
        requests=sum(measured.statuses.values()), generator_cpu=cpu,
    )  # fmt: skip


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without garbage collection, whose pauses would look like the server's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check(requests: Sequence[bytes], connections: int, seconds: float, rate: float | None, warmup: float) -> None:
    if not requests:
        raise BadParameter("requests", got="none", expected="at least one HTTP request")
    if connections < 1:
        raise BadParameter("connections", got=connections, expected="at least 1")
    if not seconds > 0:
        raise BadParameter("seconds", got=seconds, expected="a number greater than 0")
    if rate is not None and not rate > 0:
        raise BadParameter("rate", got=rate, expected="a number of requests a second greater than 0")
    if not warmup >= 0:
        raise BadParameter("warmup", got=warmup, expected="a number of seconds of at least 0")

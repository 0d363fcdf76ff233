"""Request rates that servers sustain within a latency objective, in an open loop: requests arrive independent of the server.

Requests come at random, as those of independent callers do, and a request's time counts from when it was due. A rate holds
if 99 of 100 requests are answered within the objective, next to none fails, and none are left behind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from stagewright.components.measurement.load.generator import Load, run_load

CONNECTIONS = 256  # as many requests can be on their way; what is due beyond them waits, and its time counts
BUSY_CONNECTIONS = (8, 64)  # of the closed loops that find the limit: the most is not always with the most
WARMUP_SECONDS, PATIENCE_SECONDS = 0.15, 0.3
LEAST_REQUESTS, LONGEST = 100, 3  # a slow server is asked for longer, up to so many times, for its p99 to mean something
OBJECTIVES = 2  # and for so many times the objective: a server that falls behind must have the time to be late
FAILING = 0.001
KEPT_UP = 0.95  # of what was due must be answered in time, less what chance explains
TRIES = 2  # a rate does not hold if it fails twice: what else a machine does should not be the server's fault
LONG_STEPS, SHORT_STEP = (1.5, 1.5, 1.3, 1.2), 1.1  # of a staircase: the first get near, the others stay there
FALLS, FALL = 10, 1.5  # of a race's rate that nobody holds
STEP = 1.1  # from one rate of a race to the next
START = 0.75  # of the fastest server's limit


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of one load on a server, and whether it met the objective."""

    server: str
    rate: float
    load: Load
    held: bool


@dataclass(slots=True)
class Servers:
    """Running servers and the result of every load on them.

    Attributes:
        addresses: By name.
        seconds: Duration of a load, in seconds.
    """

    addresses: Mapping[str, str]
    requests: Sequence[bytes]
    objective_ms: float
    seconds: float
    asked: list[LoadResult] = field(default_factory=list)
    _seeds: Callable[[], int] = field(default_factory=lambda: count().__next__)

    def holds(self, server: str, rate: float, *, tries: int = TRIES) -> bool:
        """Whether a rate meets the objective in one of several attempts."""
        return any(self.ask(server, rate).held for _ in range(tries))

    def ask(self, server: str, rate: float) -> LoadResult:
        """One load."""
        load = run_load(
            self.addresses[server], self.requests, connections=CONNECTIONS, rate=rate, poisson=True, seed=self._seeds(),
            seconds=self._seconds(rate),
            warmup=min(WARMUP_SECONDS, self.seconds / 2), patience=PATIENCE_SECONDS + self.objective_ms / 1000,
        )  # fmt: skip
        self.asked.append(LoadResult(server, rate, load, holds(load, self.objective_ms)))
        return self.asked[-1]

    def limit(self, server: str) -> float:
        """Requests per second in a closed loop, about the server's maximum; 0 if a single request misses the objective."""
        if not any(self._closed(server, 1).p50_ms <= self.objective_ms for _ in range(TRIES)):
            return 0.0
        return max(self._closed(server, connections).requests_per_second for connections in BUSY_CONNECTIONS)

    def _seconds(self, rate: float) -> float:
        wanted = max(self.seconds, LEAST_REQUESTS / rate, OBJECTIVES * self.objective_ms / 1000)
        return min(wanted, LONGEST * self.seconds)

    def _closed(self, server: str, connections: int) -> Load:
        return run_load(
            self.addresses[server], self.requests, connections=connections, seconds=self.seconds / 2,
            warmup=min(WARMUP_SECONDS, self.seconds / 2), patience=PATIENCE_SECONDS + self.objective_ms / 1000,
        )  # fmt: skip


@dataclass(slots=True)
class Staircase:
    """The rate that a server holds every second time: a step up where it holds, a step down where it does not.

    No single lucky moment decides.

    >>> staircase = Staircase(100.0)
    >>> for _ in range(12):
    ...     staircase.tell(held=staircase.rate < 200)
    >>> 170 < staircase.rate < 230
    True
    """

    rate: float
    taken: int = 0

    def tell(self, *, held: bool) -> None:
        """What came of the rate; long steps first, to get near."""
        step = LONG_STEPS[self.taken] if self.taken < len(LONG_STEPS) else SHORT_STEP
        self.rate *= step if held else 1 / step
        self.taken += 1


@dataclass(frozen=True, slots=True)
class Race:
    """Several servers that were asked for more and more, all of them at every step, until one was left.

    Attributes:
        winner: The last that held, None if nobody held anything; of several, the one with the lowest p99 at that rate.
        rates: The largest rate that each held; 0 for those that were never near.
        p99_ms: There.
    """

    winner: str | None
    rates: dict[str, float]
    p99_ms: dict[str, float]


def holds(load: Load, objective_ms: float) -> bool:
    """Whether the objective was met under a load of an open loop."""
    due = load.requests + load.errors
    in_time = load.requests_per_second * load.seconds >= KEPT_UP * due - 2 * np.sqrt(due)
    return bool(due and load.p99_ms <= objective_ms and load.failed <= FAILING * due and in_time)


def race(servers: Servers) -> Race:
    """Ask all servers for a rate that the fastest holds, those that held it too for a larger one, and so on."""
    limits = {name: servers.limit(name) for name in servers.addresses}
    rates, p99_ms = dict.fromkeys(limits, 0.0), dict.fromkeys(limits, float("nan"))
    fastest = max(limits, key=lambda name: limits[name])
    tried = [START * limits[fastest] / FALL**falls for falls in range(FALLS if limits[fastest] else 0)]
    rate = next((rate for rate in tried if servers.holds(fastest, rate)), 0.0)
    if not rate:
        return Race(None, rates, p99_ms)
    holding = _held(servers, [name for name, limit in limits.items() if limit >= rate], rate, p99_ms) or [fastest]
    while True:
        rates |= dict.fromkeys(holding, rate)
        if len(holding) == 1:
            break
        step = STEP if len(holding) < len(limits) else STEP * STEP  # in leaps until it is too much for the first
        if not (left := _held(servers, holding, rate * step, p99_ms)):
            break
        rate, holding = rate * step, left
    return Race(min(holding, key=lambda name: p99_ms[name]), rates, p99_ms)


def _held(servers: Servers, names: Sequence[str], rate: float, p99_ms: dict[str, float]) -> list[str]:
    """Those that hold a rate, with their p99; in an order that changes, for nobody always to be first."""
    shift = len(servers.asked) % max(1, len(names))
    held = []
    for name in [*names[shift:], *names[:shift]]:
        if servers.holds(name, rate):
            held.append(name)
            p99_ms[name] = servers.asked[-1].load.p99_ms
    return held

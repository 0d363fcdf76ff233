"""Latency and throughput of several predictors under increasing load, measured in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stagewright.components.optimization.load.generator import Load, run_load

WARMUP_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Point:
    """A server under one load.

    Attributes:
        server: Its name.
        connections: Connections that were kept busy.
        loads: What was measured in each round.
    """

    server: str
    connections: int
    loads: tuple[Load, ...]

    @property
    def requests_per_second(self) -> float:
        """Median of the rounds."""
        return float(np.median([load.requests_per_second for load in self.loads]))

    @property
    def p50_ms(self) -> float:
        return float(np.nanmedian([load.p50_ms for load in self.loads]))

    @property
    def p99_ms(self) -> float:
        """Median of the rounds' p99."""
        return float(np.nanmedian([load.p99_ms for load in self.loads]))

    @property
    def failed(self) -> int:
        return sum(load.failed for load in self.loads)

    def spread(self, what: str) -> tuple[float, float]:
        """The least and the most of a figure over the rounds."""
        values = [float(getattr(load, what)) for load in self.loads]
        return min(values), max(values)


def measure(
    addresses: Mapping[str, str], requests: Sequence[bytes], *, connections: Sequence[int], seconds: float, rounds: int
) -> list[Point]:
    """Each load on each server in each round; which server comes first changes from one load to the next.

    Args:
        addresses: Of the servers, by name.
        connections: Loads, as numbers of connections of a closed loop.
        seconds: How long each is measured in each round.
    """
    names = list(addresses)
    loads: dict[tuple[str, int], list[Load]] = {(name, count): [] for name in names for count in connections}
    for turn in range(rounds):
        for at, count in enumerate(connections):
            shift = (turn + at) % len(names)
            for name in [*names[shift:], *names[:shift]]:
                load = run_load(addresses[name], requests, connections=count, seconds=seconds, warmup=WARMUP_SECONDS)
                loads[name, count].append(load)
    return [Point(name, count, tuple(loads[name, count])) for name in names for count in connections]


def ratios(points: Sequence[Point], server: str, other: str) -> list[float]:
    """How many times the throughput of another server, at the same load in the same round: one for each of these."""
    theirs = {one.connections: one.loads for one in points if one.server == other}
    return [
        own.requests_per_second / load.requests_per_second
        for one in points
        if one.server == server
        for own, load in zip(one.loads, theirs[one.connections], strict=True)
        if load.requests_per_second
    ]

"""The capacity of one predictor: the highest request rate within a latency objective, found by bisection.

Requests arrive at random times, independent of the server (an open loop), and latency counts from the time at which a request
was due. A closed loop first finds the server's limit; a bisection then narrows the rate down. `rates` compares several servers
that run at once and needs no absolute figure, so it searches otherwise; both judge a load by `rates.holds`.
"""

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stagewright.components.measurement import server_process
from stagewright.components.measurement.cpu_limit import Limited, limited
from stagewright.components.measurement.load.generator import run_load
from stagewright.components.measurement.processor import cpu_name
from stagewright.components.measurement.rates import holds
from stagewright.components.measurement.replica import Size

CONNECTIONS = 64
BUSY_CONNECTIONS = 16  # of the closed loop that finds the limit
BISECTIONS = 5
CURVE = (0.25, 0.5, 0.75)  # of the capacity: points of the curve that the search does not visit
WARMUP_SECONDS, PATIENCE_SECONDS = 0.2, 0.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of the loads at one request rate.

    Attributes:
        rate: Requests per second that were sent.
        answered: Successful responses per second.
        p99_ms: The median of the rounds; p50_ms that of the same round.
        cpus: CPUs that the predictor used.
        met: Whether the objective was met: p99, nothing failed, and the server kept up.
    """

    rate: float
    answered: float
    p50_ms: float
    p99_ms: float
    cpus: float
    met: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """Capacity of a predictor of one size.

    Attributes:
        how: How its CPU was limited.
        samples: Every rate that was tried, ascending.
        fastest: Requests a second when asked without a pause; as many as were seen where nothing was asked by us.
        exceeded: Whether more than the capacity was tried: otherwise the capacity is what was seen, and may be larger.
        processor: The CPU that it was measured on; empty where that is not known.
    """

    size: Size
    how: str
    samples: tuple[Sample, ...]
    fastest: float
    cold_start_seconds: float | None
    exceeded: bool = True
    processor: str = ""


def measure(
    model: Path, requests: Sequence[bytes], *, cpus: float, objective_ms: float, seconds: float, rounds: int,
    options: Sequence[str] = (), root: Path | None = None,
) -> Curve:  # fmt: skip
    """Start the predictor under a CPU limit and find its capacity.

    Args:
        cpus: The limit.
        seconds: How long each rate is asked for in each round.
        rounds: How often; the median counts.
        options: For the predictor's command line.
        root: Where cgroups are mounted, if not at their usual place.

    Raises:
        InputError: If the limit cannot be set here.
        GateFailed: If the predictor does not start.
    """
    with TemporaryDirectory(prefix="capacity-") as scratch:
        place = limited(cpus) if root is None else limited(cpus, root=root)
        with place as limit, _served(model, requests[0], Path(scratch), limit, options) as running:
            search = _Search(running, requests, objective_ms, seconds, rounds)
            fastest = run_load(
                running.address, requests, connections=BUSY_CONNECTIONS, seconds=seconds, warmup=WARMUP_SECONDS
            ).requests_per_second  # fmt: skip
            best = search.largest(fastest)
            memory = running.peak_bytes()
    size = Size(
        cpus, best.answered if best else 0.0, best.p99_ms if best else float("nan"),
        min(1.0, best.cpus / cpus) if best else 0.0, memory,
    )  # fmt: skip
    samples = tuple(sorted(search.samples, key=lambda sample: sample.rate))
    return Curve(size, limit.how, samples, fastest, running.cold_start_seconds, processor=cpu_name())


def _served(
    model: Path, request: bytes, scratch: Path, limit: Limited, options: Sequence[str]
) -> AbstractContextManager[server_process.Served]:
    return server_process.predictor(model, request, log=scratch / "predictor.log", options=options, limit=limit)


def largest(samples: Sequence[Sample]) -> Sample | None:
    """The largest load that met the objective; None if none did."""
    return max((sample for sample in samples if sample.met), key=lambda sample: sample.rate, default=None)


class _Search:
    def __init__(
        self, running: server_process.Served, requests: Sequence[bytes], objective_ms: float, seconds: float, rounds: int
    ) -> None:
        self._running, self._requests, self._objective = running, requests, objective_ms
        self._seconds, self._rounds = seconds, rounds
        self.samples: list[Sample] = []

    def largest(self, fastest: float) -> Sample | None:
        """The largest rate that met the objective; None if none did."""
        if not fastest:
            return None
        low, high = 0.0, 1.1 * fastest
        rate = 0.7 * fastest
        for _ in range(BISECTIONS):
            if self._ask(rate).met:
                low = rate
            else:
                high = rate
            rate = (low + high) / 2
        if (best := largest(self.samples)) is not None:
            for share in CURVE:
                self._ask(share * best.rate)
        return best

    def _ask(self, rate: float) -> Sample:
        loads = []
        used = []
        for turn in range(self._rounds):
            before, began = cpu_seconds(self._running.process.pid), time.perf_counter()
            loads.append(
                run_load(
                    self._running.address, self._requests, connections=CONNECTIONS, seconds=self._seconds, rate=rate,
                    warmup=WARMUP_SECONDS, poisson=True, patience=PATIENCE_SECONDS, seed=turn,
                )
            )  # fmt: skip
            used.append((cpu_seconds(self._running.process.pid) - before) / (time.perf_counter() - began))
        ordered = sorted(loads, key=lambda load: (np.isnan(load.p99_ms), load.p99_ms))
        load = ordered[(len(ordered) - 1) // 2]
        sample = Sample(
            rate, load.requests_per_second, load.p50_ms, load.p99_ms, float(np.median(used)), holds(load, self._objective)
        )
        self.samples.append(sample)
        return sample


def cpu_seconds(leader: int) -> float:
    """CPU time that the processes of a group have used so far."""
    total = 0
    for pid in server_process.group(leader):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS

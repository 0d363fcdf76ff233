"""Which candidates may take the float model's place, which of them does, and which are worth drawing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stagewright.components.measurement.graph_speed import Speed
from stagewright.components.optimization.quantization.methods import CPU, Method
from stagewright.components.optimization.quantization.quality import Quality
from stagewright.components.runtime.errors import BadParameter

EQUALLY_FAST = 0.1  # speed-ups nearer than this are one: chance would choose between them, and a loss is not worth it
_LOADS = {"single": "for single rows", "batch": "for batches"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate must reach.

    Attributes:
        tolerance: Points that it may lose.
        speedup: Times faster that it must be at least, for single rows and for batches.
        size_ratio: Times smaller that it must be at least.
    """

    tolerance: float = 1.0
    speedup: float = 1.1
    size_ratio: float = 1.0

    def check(self) -> None:
        """Refuse limits that cannot be.

        Raises:
            BadParameter: Naming the limit.
        """
        if not self.tolerance >= 0:
            raise BadParameter("tolerance", got=self.tolerance, expected="points of at least 0")
        for name, value in (("minimum_speedup", self.speedup), ("minimum_size_ratio", self.size_ratio)):
            if not value > 0:
                raise BadParameter(name, got=value, expected="a factor above 0")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to quantize the model and what came of it.

    Attributes:
        graph: The served graph, empty where there is none.
        size: Bytes of it, or of what torch saves.
        size_ratio: Times smaller than the float graph.
        speed: None where it is not measured: fp16 without a GPU, and what could not be made.
        batch_effect: Largest difference between a row's answer alone and among others.
        error: Why it could not be made.
    """

    method: Method
    graph: bytes = field(default=b"", repr=False)
    size: int | None = None
    size_ratio: float | None = None
    quality: Quality | None = None
    speed: Speed | None = None
    batch_effect: float = 0.0
    error: str = ""

    @property
    def name(self) -> str:
        return self.method.name

    def failures(self, limits: Limits) -> list[str]:
        """One clause for each limit that it misses."""
        if self.error or self.quality is None or self.size_ratio is None:
            return [f"could not be made: {self.error}"]
        found = [
            f"loses {lost:.2f} points of {metric.replace('roc_auc', 'ROC AUC')} (tolerance {limits.tolerance:g})"
            for metric, lost in self.quality.by_metric.items()
            if not lost <= limits.tolerance  # not a number must fail
        ]
        if self.speed is not None:
            found += [
                f"is {times:.2f} times as fast {_LOADS.get(load, load)} (at least {limits.speedup:g} is asked for)"
                for load, times in self.speed.speedup.items()
                if not times >= limits.speedup
            ]
        elif self.method.variant == CPU:
            found.append("was not measured")
        if not self.size_ratio >= limits.size_ratio:
            found.append(f"is {self.size_ratio:.2f} times smaller (at least {limits.size_ratio:g} is asked for)")
        return found


def choose(candidates: Sequence[Candidate], limits: Limits, variant: str) -> Candidate | None:
    """The fastest candidate for a variant that misses no limit; of those equally fast, the one that loses least.

    Where speed is not measured, the smallest.
    """
    fitting = [candidate for candidate in candidates if candidate.method.variant == variant and not candidate.failures(limits)]
    timed = [candidate for candidate in fitting if candidate.speed is not None]
    if not timed:
        return min(fitting, key=lambda candidate: candidate.size or 0, default=None)
    fastest = max(_gain(candidate) for candidate in timed)
    near = [candidate for candidate in timed if _gain(candidate) >= fastest * (1 - EQUALLY_FAST)]
    return min(near, key=lambda candidate: (candidate.quality.lost if candidate.quality else 0.0, candidate.size or 0))


def pareto(points: Sequence[Sequence[float]]) -> list[bool]:
    """Which points no other beats: another is at least as low on every axis and lower on one.

    >>> pareto([(1, 3), (2, 2), (3, 3), (3, 1)])
    [True, True, False, True]
    """

    def beaten(point: Sequence[float]) -> bool:
        return any(
            all(theirs <= own for theirs, own in zip(other, point, strict=True)) and tuple(other) != tuple(point)
            for other in points
        )

    return [not beaten(point) for point in points]


def figures(candidate: Candidate, limits: Limits) -> dict[str, Any]:
    """A candidate as JSON."""
    found: dict[str, Any] = {
        "method": candidate.name,
        "variant": candidate.method.variant,
        "bytes": candidate.size,
        "size_ratio": candidate.size_ratio,
        "batch_effect": candidate.batch_effect,
        "failures": candidate.failures(limits),
    }
    if candidate.quality is not None:
        quality = candidate.quality
        found["quality"] = {
            "metrics": quality.metrics, "points_lost": quality.lost, "points_lost_interval": list(quality.interval),
            "points_lost_by_metric": quality.by_metric,
            "points_lost_intervals": {name: list(interval) for name, interval in quality.intervals.items()},
            "labels_changed": quality.changed, "largest_difference": quality.largest,
        }  # fmt: skip
    if candidate.speed is not None:
        found["speed"] = {
            load: {
                "milliseconds": latency.median, "quartiles": [latency.low, latency.high],
                "speedup": candidate.speed.speedup[load], "speedup_quartiles": list(candidate.speed.speedup_range[load]),
            }
            for load, latency in candidate.speed.latency.items()
        }  # fmt: skip
    return found


def _gain(candidate: Candidate) -> float:
    return candidate.speed.gain if candidate.speed else 0.0

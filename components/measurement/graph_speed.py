"""Latencies of graphs compared with each other, in rounds, so that other load on the machine affects all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import numpy as np
import onnxruntime

from stagewright.components.measurement.timer import rotated, seconds_of
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.onnx_session import CPU, open_session

Feeds = Mapping[str, np.ndarray]
Answer = Callable[[Feeds], object]

ROUNDS, LEAST_ROUNDS = 21, 5
SAMPLE_SECONDS = 0.01  # of one measurement: room for repetitions, of which some are undisturbed


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds that one call takes.

    Attributes:
        median: Over the rounds.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one candidate is.

    Attributes:
        latency: By load: single (one row a call), batch (many).
        speedup: By load: how many times faster than the first candidate, the median of the rounds' ratios.
        speedup_range: By load: their quartiles.
    """

    latency: dict[str, Latency]
    speedup: dict[str, float]
    speedup_range: dict[str, tuple[float, float]]

    @property
    def gain(self) -> float:
        """The smaller of the speed-ups: so many times faster at least, whether a row is asked for or a batch."""
        return min(self.speedup.values())


def session(
    graph: bytes, *, threads: int = 1, optimization: str = "all", provider: str = CPU, profile: str = ""
) -> onnxruntime.InferenceSession:
    """A session as the predictor opens it.

    Args:
        threads: Threads inside one inference; 0 takes every core.
        optimization: ONNX Runtime's level of graph optimizations. With a profile it is at most basic: beyond that level,
            fused nodes lose their names.
        profile: Prefix of the file for the duration of each operation; empty to measure none.

    Raises:
        InputError: If ONNX Runtime cannot load the graph.
    """
    try:
        return open_session(
            graph, threads=threads, optimization="basic" if profile else optimization, providers=[provider], profile=profile
        )
    except Exception as error:  # noqa: BLE001  ONNX Runtime's errors share no base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"ONNX Runtime cannot load the graph on {provider} with level {optimization}: {reason}") from None


def compare(
    candidates: Mapping[str, Answer], loads: Mapping[str, Sequence[Feeds]], *, seconds: float = 20.0
) -> dict[str, Speed]:
    """Measure every candidate on the same rows; the first is what the others are compared with.

    In each round every candidate answers every load once, in an order that moves on from round to round; a speed-up is the
    median over the rounds of the ratio within a round.

    Args:
        candidates: A function for each, from feeds to an answer.
        loads: The calls of each load.
        seconds: Time that all rounds may take; with slow models there are fewer of them, but no fewer than five.
    """
    times: dict[str, dict[str, list[float]]] = {name: {load: [] for load in loads} for name in candidates}
    names = list(candidates)
    for load, calls in loads.items():
        repeats = {name: _repeats(candidates[name], calls) for name in names}
        one_round = sum(_call(candidates[name], calls, repeats[name]) * repeats[name] * len(calls) for name in names)
        rounds = int(np.clip(seconds / len(loads) / max(one_round, 1e-9), LEAST_ROUNDS, ROUNDS))
        for order in rotated(names, rounds):
            for name in order:
                times[name][load].append(_call(candidates[name], calls, repeats[name]))
    first = times[names[0]]
    return {name: _speed(times[name], first) for name in names}


def _repeats(answer: Answer, calls: Sequence[Feeds]) -> int:
    """How often the calls are made for one measurement; this also warms what is lazy."""
    for feeds in calls:
        answer(feeds)
    return max(1, ceil(SAMPLE_SECONDS / max(_call(answer, calls, 1) * len(calls), 1e-9)))


def _call(answer: Answer, calls: Sequence[Feeds], repeats: int) -> float:
    """Seconds of one call: the shortest of its repetitions, since what others do only makes it longer; the mean of calls."""
    shortest = [min(seconds_of(partial(answer, feeds)) for _ in range(repeats)) for feeds in calls]
    return sum(shortest) / len(shortest)


def _speed(own: Mapping[str, Sequence[float]], first: Mapping[str, Sequence[float]]) -> Speed:
    latency, speedup, spread = {}, {}, {}
    for load, seconds in own.items():
        low, median, high = np.quantile(np.array(seconds) * 1e3, [0.25, 0.5, 0.75])
        latency[load] = Latency(float(median), float(low), float(high))
        low, median, high = np.quantile(np.array(first[load]) / np.array(seconds), [0.25, 0.5, 0.75])
        speedup[load], spread[load] = float(median), (float(low), float(high))
    return Speed(latency, speedup, spread)

"""How fast graphs answer, measured against each other: in rounds, so that what else the machine does hits all alike."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import onnxruntime

from stagewright.components.runtime.errors import InputError

Feeds = Mapping[str, np.ndarray]
Answer = Callable[[Feeds], object]

ROUNDS, LEAST_ROUNDS = 21, 5
SAMPLE_SECONDS = 0.01  # of one measurement: room for repetitions, of which some are undisturbed
_VNNI = ("avx512_vnni", "avx_vnni")


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
    graph: bytes, *, threads: int = 1, provider: str = "CPUExecutionProvider", profile: str = ""
) -> onnxruntime.InferenceSession:
    """A session as the predictor opens it.

    Args:
        threads: Threads inside one inference; 0 takes every core.
        profile: Where ONNX Runtime writes how long each operation took; nothing is written if empty.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
        # Beyond the basic level nodes lose their names to what they are fused with.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(graph, options, providers=[provider])
    except Exception as error:  # noqa: BLE001  ONNX Runtime's errors share no base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"ONNX Runtime cannot load the graph: {reason}") from None


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
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                times[name][load].append(_call(candidates[name], calls, repeats[name]))
    first = times[names[0]]
    return {name: _speed(times[name], first) for name in names}


def processor() -> str:
    """The CPU's name, where the system tells it."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def saturates() -> bool:
    """Whether 8-bit products are added in 16 bits here: x86 without VNNI. Weights of 7 bits avoid what that cuts off."""
    flags = next((line for line in _cpuinfo().splitlines() if line.startswith("flags")), "")
    return platform.machine() in ("x86_64", "AMD64") and bool(flags) and not any(name in flags.split() for name in _VNNI)


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def _repeats(answer: Answer, calls: Sequence[Feeds]) -> int:
    """How often the calls are made for one measurement; this also warms what is lazy."""
    for feeds in calls:
        answer(feeds)
    return max(1, ceil(SAMPLE_SECONDS / max(_call(answer, calls, 1) * len(calls), 1e-9)))


def _call(answer: Answer, calls: Sequence[Feeds], repeats: int) -> float:
    """Seconds of one call: the shortest of its repetitions, since what others do only makes it longer; the mean of calls."""
    shortest = [min(_timed(answer, feeds) for _ in range(repeats)) for feeds in calls]
    return sum(shortest) / len(shortest)


def _timed(answer: Answer, feeds: Feeds) -> float:
    begun = time.perf_counter()
    answer(feeds)
    return time.perf_counter() - begun


def _speed(own: Mapping[str, Sequence[float]], first: Mapping[str, Sequence[float]]) -> Speed:
    latency, speedup, spread = {}, {}, {}
    for load, seconds in own.items():
        low, median, high = np.quantile(np.array(seconds) * 1e3, [0.25, 0.5, 0.75])
        latency[load] = Latency(float(median), float(low), float(high))
        low, median, high = np.quantile(np.array(first[load]) / np.array(seconds), [0.25, 0.5, 0.75])
        speedup[load], spread[load] = float(median), (float(low), float(high))
    return Speed(latency, speedup, spread)

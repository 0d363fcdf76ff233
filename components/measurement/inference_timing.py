"""How fast a graph runs under different settings, measured in turns.

A machine is never equally fast for long. So nothing is measured for itself: each round runs every setting once, for a
moment, in an order that changes from round to round, and settings are compared within a round.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort

from stagewright.components.measurement.graph_speed import session
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.measurement.timer import clock, rotated, seconds_of
from stagewright.components.runtime.fingerprint import GRAPH
from stagewright.components.runtime.model import SERVING

REMOTE_PROVIDERS = frozenset({"AzureExecutionProvider"})  # computes elsewhere, for operators of its own


@dataclass(frozen=True, slots=True)
class Setting:
    """How inferences run.

    Attributes:
        optimization: ONNX Runtime's level of graph optimizations.
        threads: Threads inside one inference.
        concurrency: Inferences at once.
        provider: ONNX Runtime's execution provider.
    """

    optimization: str = "all"
    threads: int = 1
    concurrency: int = 1
    provider: str = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting at a batch size."""

    setting: Setting
    rows: int


@dataclass(frozen=True, slots=True)
class Timing:
    """What a trial did over all rounds.

    Attributes:
        rows_per_second: Median of the rounds; `low` and `high` the least and the most.
        p50_ms: Of one inference, over all rounds; p99_ms likewise.
        ratios: Throughput relative to the default setting at the same batch size, within each round.
    """

    setting: Setting
    rows: int
    rows_per_second: float
    low: float
    high: float
    p50_ms: float
    p99_ms: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of the rounds."""
        return float(np.median(self.ratios))


class Bench:
    """A model's sessions, one for each way to make them, and its rows.

    Args:
        default: What all others are compared with.
        seconds: How long a trial runs in each round.
        rounds: How often.
    """

    def __init__(self, rows: ModelRows, default: Setting, *, seconds: float, rounds: int) -> None:
        self.rows, self.default, self.seconds, self.rounds = rows, default, seconds, rounds
        self._graph = (rows.folder / SERVING / GRAPH).read_bytes()
        self._sessions: dict[tuple[str, int, str], ort.InferenceSession] = {}

    def session(self, setting: Setting) -> ort.InferenceSession:
        """The session of a setting; made once.

        Raises:
            InputError: If ONNX Runtime cannot load the graph.
        """
        key = (setting.optimization, setting.threads, setting.provider)
        if key not in self._sessions:
            self._sessions[key] = session(
                self._graph, threads=setting.threads, optimization=setting.optimization, provider=setting.provider
            )
        return self._sessions[key]

    def once_ms(self, setting: Setting, rows: int) -> float:
        """Milliseconds of one inference, the better of two: the first makes what is lazy."""
        opened, batch = self.session(setting), self.rows.batch(rows)
        return 1000 * min(seconds_of(partial(opened.run, None, batch)) for _ in range(2))

    def measure(self, trials: Sequence[Trial]) -> list[Timing]:
        """Every trial, with the default setting beside it at each batch size."""
        defaults = [Trial(self.default, rows) for rows in dict.fromkeys(trial.rows for trial in trials)]
        everything = list(dict.fromkeys([*defaults, *trials]))
        batches = {rows: self.rows.batch(rows) for rows in {trial.rows for trial in everything}}
        for trial in everything:
            self.session(trial.setting).run(None, batches[trial.rows])
        speeds: dict[Trial, list[float]] = {trial: [] for trial in everything}
        times: dict[Trial, list[float]] = {trial: [] for trial in everything}
        for order in rotated(everything, self.rounds):
            for trial in order:
                opened, batch = self.session(trial.setting), batches[trial.rows]
                taken, elapsed = _repeat(partial(opened.run, None, batch), trial.setting.concurrency, self.seconds)
                speeds[trial].append(len(taken) * trial.rows / elapsed)
                times[trial] += taken
        return [_timing(trial, speeds, times, self.default) for trial in everything]


def local_providers() -> list[str]:
    """Execution providers of this ONNX Runtime that compute here."""
    return [name for name in ort.get_available_providers() if name not in REMOTE_PROVIDERS]


def _repeat(infer: Callable[[], object], concurrency: int, seconds: float) -> tuple[list[float], float]:
    """Infer over and over in as many threads; how long each took, and the time that passed, in seconds."""
    taken: list[list[float]] = [[] for _ in range(concurrency)]
    began = clock()
    end = began + seconds

    def work(mine: list[float]) -> None:
        now = clock()
        while now < end or not mine:
            infer()
            before, now = now, clock()
            mine.append(now - before)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in taken[1:]]
    for thread in threads:
        thread.start()
    work(taken[0])
    for thread in threads:
        thread.join()
    return [one for mine in taken for one in mine], clock() - began


def _timing(trial: Trial, speeds: dict[Trial, list[float]], times: dict[Trial, list[float]], default: Setting) -> Timing:
    own = np.array(speeds[trial])
    ratios = own / np.array(speeds[Trial(default, trial.rows)])
    p50, p99 = np.percentile(times[trial], [50, 99]) * 1000
    return Timing(
        trial.setting, trial.rows, float(np.median(own)), float(own.min()), float(own.max()), float(p50), float(p99),
        tuple(ratios.tolist()),
    )  # fmt: skip

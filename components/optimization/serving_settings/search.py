"""The search on the graph alone, which settles what needs no server and leaves a few settings to be tried on one.

A full grid of five levels, four numbers of threads, four of inferences at once and ten batch sizes would be 800 settings. What
depends on what allows less: the level of graph optimizations decides which kernels run and depends on nothing else; threads
inside an inference compete with inferences at once for the same cores, so these are tried together; how many rows may be put
together follows from how long a pair takes for them. How much of this a caller notices only the predictor shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stagewright.components.measurement.inference_timing import Bench, Setting, Timing, Trial, local_providers
from stagewright.components.runtime.serving_settings import OPTIMIZATIONS

# A request that arrives while a batch runs waits for that one and then for its own.
BATCHES_WAITED_FOR = 2
CERTAIN = 1.02  # less than two percent more is noise: what is simpler, or the default, stays
MOSTLY = 2 / 3  # of the comparisons in a round must be won, so that a few lucky moments decide nothing
EQUAL = 1.05
PAIRS_KEPT = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A setting that was decided.

    Attributes:
        description: What was varied and why, in one or two sentences.
        chosen: The result, as text.
    """

    name: str
    description: str
    timings: list[Timing]
    chosen: str


@dataclass(frozen=True, slots=True)
class Found:
    """Result of the search on the graph.

    Attributes:
        finalists: Settings, best first, each with the batch size that it does best at within the objective.
        sizes: Batch sizes that take no longer than the objective.
        milliseconds: That each finalist takes for its batch.
    """

    stages: list[Stage]
    finalists: list[Trial]
    sizes: list[int]
    milliseconds: list[float]


def search(bench: Bench, *, cpus: int, objective_ms: float, batch_sizes: Sequence[int], threads: Sequence[int]) -> Found:
    """Levels of graph optimization, then providers, then threads and concurrency, then batch sizes.

    Args:
        cpus: CPUs that the model may use.
        objective_ms: p99 of a request; an inference may take half of it, see BATCHES_WAITED_FOR.
        batch_sizes: Batch sizes to try.
        threads: Numbers of threads to try.
    """
    sizes, too_large = _affordable(bench, batch_sizes, objective_ms)
    probes = _probes(sizes)
    level = _level(bench, probes)
    base = replace(bench.default, optimization=level.chosen)
    stages = [level]
    if len(providers := local_providers()) > 1:
        stages.append(_provider(bench, base, providers, probes))
        base = replace(base, provider=stages[-1].chosen)
    pairs = _all_pairs(base, cpus, threads)
    if len(pairs) > PAIRS_KEPT:
        pairs, stage = _best_pairs(bench, pairs, cpus, probes, objective_ms)
        stages.append(stage)
    best, stage = _batches(bench, pairs, sizes, objective_ms, too_large)
    return Found([*stages, stage], [Trial(one.setting, one.rows) for one in best], sizes, [one.p50_ms for one in best])


def thread_counts(cpus: int) -> list[int]:
    """1, 2, 4 ... up to the number of CPUs.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    powers = [2**power for power in range(cpus.bit_length()) if 2**power <= cpus]
    return [*powers] if powers[-1] == cpus else [*powers, cpus]


def is_faster(ratios: Sequence[float]) -> bool:
    """Whether throughputs relative to another's, each from one moment, show more than noise.

    >>> is_faster([1.3, 0.9, 1.2]), is_faster([3.0, 0.9, 0.8]), is_faster([1.01, 1.01, 1.01])
    (True, False, False)
    """
    values = np.asarray(ratios)
    return bool(len(values)) and float(np.median(values)) > CERTAIN and float((values > 1).mean()) >= MOSTLY


def within(timing: Timing, objective_ms: float) -> bool:
    """Whether requests that are put together to such batches can be answered within the objective."""
    return BATCHES_WAITED_FOR * timing.p99_ms <= objective_ms


def _affordable(bench: Bench, batch_sizes: Sequence[int], objective_ms: float) -> tuple[list[int], list[int]]:
    """Batch sizes that take no longer than the whole objective by themselves, and those that do: these need no measuring."""
    ordered = sorted(batch_sizes)
    plain = Setting(threads=bench.default.threads)  # what a model was given before may be worse than nothing
    for at, rows in enumerate(ordered):
        if at and min(bench.once_ms(setting, rows) for setting in {bench.default: 0, plain: 0}) > objective_ms:
            return ordered[:at], ordered[at:]
    return ordered, []


def _probes(batch_sizes: Sequence[int]) -> list[int]:
    """A small, a middle and a large batch of those that are asked for."""
    ordered = sorted(batch_sizes)
    return list(dict.fromkeys([ordered[0], ordered[len(ordered) // 2], ordered[-1]]))


def _level(bench: Bench, probes: Sequence[int]) -> Stage:
    settings = [replace(bench.default, optimization=level) for level in OPTIMIZATIONS]
    timings = bench.measure([Trial(setting, rows) for setting in settings for rows in probes])
    best = max(settings, key=lambda setting: _gain(timings, setting))
    plain = replace(bench.default, optimization=Setting().optimization)
    if _gain(timings, plain) * EQUAL >= _gain(timings, best):
        best = plain  # of levels that are about equal, the predictor's own
    faster = is_faster([ratio for one in timings if one.setting == best for ratio in one.ratios])
    chosen = best.optimization if faster else bench.default.optimization
    description = (
        "ONNX Runtime's levels of graph optimization, at a small, a middle and a large batch. A level is chosen over the "
        f"default only if it is more than {CERTAIN - 1:.0%} faster at the median, and faster in two of three comparisons."
    )
    return Stage("Graph optimization", description, timings, chosen)


def _provider(bench: Bench, base: Setting, providers: Sequence[str], probes: Sequence[int]) -> Stage:
    settings = [replace(base, provider=provider) for provider in providers]
    timings = bench.measure([Trial(setting, rows) for setting in settings for rows in probes])
    best = max(settings, key=lambda setting: _gain(timings, setting)).provider
    return Stage("Execution provider", "What this ONNX Runtime can compute on.", timings, best)


def _all_pairs(base: Setting, cpus: int, threads: Sequence[int]) -> list[Setting]:
    """Threads inside an inference and inferences at once, never more than twice as many as there are CPUs in all."""
    most = max(2 * cpus, min(threads))
    return [
        replace(base, threads=inside, concurrency=at_once)
        for inside in threads
        for at_once in thread_counts(cpus)
        if inside * at_once <= most
    ]


def _best_pairs(
    bench: Bench, candidates: Sequence[Setting], cpus: int, probes: Sequence[int], objective_ms: float
) -> tuple[list[Setting], Stage]:
    timings = bench.measure([Trial(setting, rows) for setting in candidates for rows in probes])
    fitting = [one for one in timings if within(one, objective_ms)]
    # Whoever meets the objective at more batch sizes, then the faster, then the one that needs fewer threads in all.
    ranked = sorted(
        candidates,
        key=lambda setting: (
            -sum(one.setting == setting for one in fitting),
            -round(_gain(fitting, setting), 2),
            setting.threads * setting.concurrency,
        ),
    )
    kept = ranked[:PAIRS_KEPT]
    description = (
        f"Threads inside one inference and inferences at once share the {cpus} CPUs, so they are tried together, at the same "
        "batch sizes; the best pairs go on."
    )
    return kept, Stage("Threads and concurrency", description, timings, ", then ".join(pair(setting) for setting in kept))


def _batches(
    bench: Bench, pairs: Sequence[Setting], batch_sizes: Sequence[int], objective_ms: float, too_large: Sequence[int]
) -> tuple[list[Timing], Stage]:
    timings = bench.measure([Trial(setting, rows) for setting in pairs for rows in sorted(batch_sizes)])
    finalists = []
    for setting in pairs:
        own = [one for one in timings if one.setting == setting]
        fitting = [one for one in own if within(one, objective_ms)] or [min(own, key=lambda one: one.p99_ms)]
        best = max(one.rows_per_second for one in fitting)
        # The smallest of the batches that are as fast as the best: it leaves more of the objective to the rest of a request.
        finalists.append(min((one for one in fitting if one.rows_per_second * CERTAIN >= best), key=lambda one: one.rows))
    finalists.sort(key=lambda one: -one.rows_per_second)
    description = (
        "How many rows of different requests are worth putting together. A request waits for the batch that runs and then for "
        f"its own: a batch may take half of the objective of {objective_ms:g} ms at p99."
    )
    if too_large:
        description += f" Batches of {', '.join(map(str, too_large))} take longer than all of it and were left out."
    chosen = ", then ".join(f"{pair(one.setting)} with up to {one.rows} rows" for one in finalists)
    return finalists, Stage("Batch size", description, timings, chosen)


def _gain(timings: Sequence[Timing], setting: Setting) -> float:
    """Throughput relative to the default, averaged over batch sizes (geometric mean); 0 where nothing fits."""
    ratios = [one.ratio for one in timings if one.setting == setting]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else 0.0


def pair(setting: Setting) -> str:
    """Threads and inferences at once, as text."""
    inside = "1 thread" if setting.threads == 1 else f"{setting.threads} threads"
    return f"{inside} x {setting.concurrency} at once"

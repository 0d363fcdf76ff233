"""Candidate settings on the model server, side by side under the same rising load."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

from stagewright.components.measurement import server_process
from stagewright.components.measurement.inference_timing import Setting, Trial
from stagewright.components.measurement.rates import LoadResult, Race, Servers, race
from stagewright.components.optimization.serving_settings.plan import Plan
from stagewright.components.optimization.serving_settings.search import pair
from stagewright.components.predictor.inference.batching import BATCH_ROWS
from stagewright.components.predictor.wire.limits import SHORT_SECONDS
from stagewright.components.runtime.serving_settings import ServingSettings

DEFAULT = "as it was"
PLAIN = "the predictor's own"
SIZES_TRIED = 3


@dataclass(frozen=True, slots=True)
class Experiment:
    """A stage of the search on the model server.

    Attributes:
        description: What was varied and why, in one or two sentences.
        settings: Of every server, by its name.
        asked: Result of every load.
    """

    name: str
    description: str
    settings: dict[str, ServingSettings]
    race: Race
    asked: list[LoadResult]


def threads_and_concurrency(
    folder: Path, existing: ServingSettings, finalists: Sequence[Trial], requests: Sequence[bytes], plan: Plan
) -> Experiment:
    """Each pair with the batch size that the graph alone does best at, and the model as it was."""
    candidates = {
        f"{pair(trial.setting)}, up to {trial.rows} rows": replace(
            existing, threads=trial.setting.threads, concurrency=trial.setting.concurrency,
            graph_optimization=trial.setting.optimization, batch_rows=trial.rows, batch_milliseconds=None, measured={},
        )
        for trial in finalists
    }  # fmt: skip
    description = "The best pairs on the graph alone, each with the batch size it does best at there."
    plain = ServingSettings(tree_engine=existing.tree_engine)
    if plain != replace(existing, measured={}):
        candidates[PLAIN] = plain
        description += " The predictor's own choice is one of them, since the model had settings of its own."
    settings = {DEFAULT: existing, **candidates}
    return _race("Threads and concurrency on the predictor", description, folder, settings, requests, plan)


def batches(
    folder: Path, before: Experiment, sizes: Sequence[int], milliseconds: float, requests: Sequence[bytes], plan: Plan
) -> Experiment | None:
    """Other batch sizes for the best so far, and other waits where waiting is possible; None where there is nothing to try.

    Args:
        sizes: Batch sizes that may be tried.
        milliseconds: That an inference of a full batch takes.
    """
    winner = before.race.winner or DEFAULT
    best = before.settings[winner]
    rows = best.batch_rows or BATCH_ROWS
    near = sorted((size for size in sizes if size != rows), key=lambda size: abs(log(size / rows)))[:SIZES_TRIED]
    candidates = {f"up to {size} rows": replace(best, batch_rows=size, measured={}) for size in near}
    description = f"Sizes near {rows} rows, with the threads that did best."
    if best.concurrency == 1 or milliseconds <= 1000 * SHORT_SECONDS:
        description += (
            " No wait was tried: where only one inference runs at a time, or takes next to no time, nobody waits for others."
        )
    else:
        candidates |= {
            f"waits of up to {wait:g} ms": replace(best, batch_milliseconds=float(wait), measured={})
            for wait in plan.batch_milliseconds
            if wait <= plan.objective_ms
        }
    if not candidates:
        return None
    return _race("Batches on the predictor", description, folder, {winner: best, **candidates}, requests, plan)


def best_of(races: Sequence[Experiment]) -> ServingSettings | None:
    """The best that was tried beside the model as it was: the winner of the last race, or whoever came nearest to it."""
    for tried in reversed(races):
        others = [name for name in tried.settings if name != DEFAULT]
        if tried.race.winner in others:
            return tried.settings[tried.race.winner]
        if others and tried.race.winner is not None:
            return tried.settings[max(others, key=lambda name: tried.race.rates[name])]
    return None


@contextmanager
def predictors(folder: Path, settings: Mapping[str, ServingSettings], request: bytes) -> Iterator[dict[str, str]]:
    """Addresses of a predictor for each of the settings, all at once: those that are not asked wait without using the CPU."""
    with TemporaryDirectory(prefix="benchmark-") as scratch, ExitStack() as stack:
        addresses = {}
        for at, (name, chosen) in enumerate(settings.items()):
            place = server_process.with_settings(folder, Path(scratch) / f"model-{at}", chosen)
            running = stack.enter_context(server_process.predictor(place, request, log=Path(scratch) / f"{at}.log"))
            addresses[name] = running.address
        yield addresses


def setting_of(settings: ServingSettings, default: Setting) -> Setting:
    """How inferences run under settings; what they leave open is the default's."""
    return replace(
        default, optimization=settings.graph_optimization, threads=settings.threads or default.threads,
        concurrency=settings.concurrency or default.concurrency,
    )  # fmt: skip


def _race(
    name: str, description: str, folder: Path, settings: dict[str, ServingSettings], requests: Sequence[bytes], plan: Plan
) -> Experiment:
    with predictors(folder, settings, requests[0]) as addresses:
        servers = Servers(addresses, requests, plan.objective_ms, plan.seconds)
        found = race(servers)
    return Experiment(name, description, settings, found, servers.asked)

"""The proof: the real predictor under load, with settings and as it was."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stagewright.components.optimization import served
from stagewright.components.optimization.benchmarking import load_curve
from stagewright.components.optimization.benchmarking.load_curve import Point
from stagewright.components.optimization.benchmarking.result import Plan
from stagewright.components.optimization.benchmarking.search import is_faster
from stagewright.components.optimization.inference_timing import Trial
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.serving_settings import FILE, ServingSettings

DEFAULT = "as it was"
CHOSEN = "with settings"


def select(folder: Path, candidates: Mapping[str, Trial], requests: Sequence[bytes], plan: Plan) -> tuple[list[Point], str]:
    """A few loads on each finalist and on the model as it was; the name of the best finalist, if there is one."""
    if not candidates:
        return [], DEFAULT
    middle = plan.connections[len(plan.connections) // 2]
    with _predictors(folder, {DEFAULT: None, **candidates}, requests[0]) as addresses:
        points = load_curve.measure(
            addresses, requests, connections=list(dict.fromkeys([middle, plan.connections[-1]])), seconds=plan.seconds,
            rounds=plan.rounds,
        )  # fmt: skip
    within = {name: load_curve.best_within(points, name, plan.objective_ms) for name in candidates}
    speeds = {name: one.requests_per_second if one else 0.0 for name, one in within.items()}
    return points, max(speeds, key=lambda name: speeds[name])


def confirm(
    folder: Path, candidates: Mapping[str, Trial], chosen: str, requests: Sequence[bytes], plan: Plan
) -> tuple[list[Point], str]:
    """Fresh loads on the chosen and the model as it was, for what is best of several looks better than it is.

    What is not faster now stays as it was.
    """
    variants: dict[str, Trial | None] = {DEFAULT: None}
    if chosen in candidates:
        variants[CHOSEN] = candidates[chosen]
    with _predictors(folder, variants, requests[0]) as addresses:
        points = load_curve.measure(addresses, requests, connections=plan.connections, seconds=plan.seconds, rounds=plan.rounds)
    if chosen not in candidates:
        return points, DEFAULT
    before, after = (load_curve.best_within(points, name, plan.objective_ms) for name in (DEFAULT, CHOSEN))
    if after is None:
        return points, DEFAULT
    if before is None:
        return points, chosen
    gained = after.requests_per_second > before.requests_per_second
    return points, chosen if gained and is_faster(load_curve.ratios(points, CHOSEN, DEFAULT)) else DEFAULT


@contextmanager
def _predictors(folder: Path, variants: Mapping[str, Trial | None], request: bytes) -> Iterator[dict[str, str]]:
    """A predictor for each variant, all at once: those that are not asked wait without using the CPU."""
    with TemporaryDirectory(prefix="benchmark-") as scratch, ExitStack() as stack:
        addresses = {}
        for at, (name, trial) in enumerate(variants.items()):
            place = served.with_settings(
                folder, Path(scratch) / f"model-{at}", settings_of(trial) if trial else existing_settings(folder)
            )
            running = stack.enter_context(served.predictor(place, request, log=Path(scratch) / f"{at}.log"))
            addresses[name] = running.address
        yield addresses


def existing_settings(folder: Path) -> ServingSettings:
    path = folder / SERVING / FILE
    return ServingSettings.parse(path.read_bytes(), str(path)) if path.is_file() else ServingSettings()


def settings_of(trial: Trial) -> ServingSettings:
    return ServingSettings(
        threads=trial.setting.threads, concurrency=trial.setting.concurrency, graph_optimization=trial.setting.optimization,
        batch_rows=trial.rows,
    )  # fmt: skip

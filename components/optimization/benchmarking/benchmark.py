"""Find how a model is best served on this CPU, prove it on the real predictor, and write it into the model."""

import platform
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from stagewright.components.optimization import parity, served
from stagewright.components.optimization.benchmarking import load_curve
from stagewright.components.optimization.benchmarking.load_curve import Point
from stagewright.components.optimization.benchmarking.proof import (
    CHOSEN,
    DEFAULT,
    confirm,
    existing_settings,
    select,
    settings_of,
)
from stagewright.components.optimization.benchmarking.result import Benchmark, Plan
from stagewright.components.optimization.benchmarking.search import search, thread_counts
from stagewright.components.optimization.inference_timing import Bench, Setting, Trial
from stagewright.components.optimization.model_rows import ModelRows
from stagewright.components.runtime import folders, logs
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.model import SERVING, Predictions
from stagewright.components.runtime.progress import progress
from stagewright.components.serving.predictor import cpu

TOLERANCE = 1e-5
INFERENCE_SHARE = 3  # an inference is over sooner than a request: a third of the time shows as much


def benchmark(model: str | Path, *, data: str = "", plan: Plan | None = None) -> Benchmark:
    """Measure a model.

    Args:
        model: An exported model's folder.
        data: Rows to measure with; by default the model's own baseline.

    Raises:
        InputError: If the model cannot be measured.
        GateFailed: If its graph does not answer as the model's own record says.
    """
    plan = plan or Plan()
    plan.check()
    folder, cpus = Path(model), cpu.available()
    rows = ModelRows.load(folder, data)
    existing = existing_settings(folder)
    default = Setting(
        existing.graph_optimization, existing.threads or cpus, existing.concurrency or max(2, cpus)
    )  # what the predictor does by itself, where the model says nothing
    bench = Bench(rows, default, seconds=plan.seconds / INFERENCE_SHARE, rounds=plan.rounds)
    with progress("measuring settings of the graph"):
        found = search(
            bench, cpus=cpus, objective_ms=plan.objective_ms, batch_sizes=plan.batch_sizes,
            threads=plan.threads or thread_counts(cpus),
        )  # fmt: skip
    finalists, dropped, differences = _equal_answers(bench, rows, found.finalists)
    candidates = {f"setting {at}": one for at, one in enumerate(finalists, 1)}
    requests = rows.requests(served.NAME)
    with progress("measuring the predictor"):
        selection, chosen = select(folder, candidates, requests, plan)
        curve, chosen = confirm(folder, candidates, chosen, requests, plan)
    trial = candidates.get(chosen)
    settings = settings_of(trial) if trial else existing
    before = load_curve.best_within(curve, DEFAULT, plan.objective_ms)
    after = load_curve.best_within(curve, CHOSEN, plan.objective_ms) if trial else before
    ratios = load_curve.ratios(curve, CHOSEN, DEFAULT) if trial else [1.0]
    ratio = (float(np.median(ratios)), min(ratios), max(ratios))
    logs.event("settings_chosen", threads=settings.threads, concurrency=settings.concurrency, ratio=round(ratio[0], 3))
    return Benchmark(
        _name(folder), plan, cpu_name(), cpus, default, existing, found, dropped, selection, curve,
        replace(settings, measured=_measured(plan, cpus, ratio, before, after)), ratio, before, after,
        differences.get(trial or Trial(default, 1), 0.0), rows.table.height,
    )  # fmt: skip


def write(model: str | Path, optimized: str | Path, found: Benchmark) -> None:
    """Copy a model folder, with the chosen settings in `serving/settings.json`.

    Raises:
        GateFailed: If no setting meets the objective.
    """
    if found.failures:
        raise GateFailed(f"settings of model '{found.name}'", found.failures)
    with folders.written(optimized) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
        found.settings.write(folder / SERVING)


def cpu_name() -> str:
    """The processor as the system calls it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _equal_answers(
    bench: Bench, rows: ModelRows, finalists: Sequence[Trial]
) -> tuple[list[Trial], dict[str, str], dict[Trial, float]]:
    """The settings under which the graph answers as the model does, why others do not, and the largest differences."""
    default = Trial(bench.default, 1)
    own = rows.own or _answers(bench, default, rows)
    kept, dropped, differences = [], {}, {}
    for trial in [default, *finalists]:
        answered = _answers(bench, trial, rows)
        found = parity.compare(own, answered, TOLERANCE)
        failures = found.failures(own, answered, TOLERANCE)
        differences[trial] = found.largest
        if failures and trial is default:
            raise GateFailed(f"the answers of model '{_name(rows.folder)}'", failures)
        if failures:
            dropped[str(trial.setting)] = "; ".join(failures)
        elif trial is not default:
            kept.append(trial)
    return kept, dropped, differences


def _answers(bench: Bench, trial: Trial, rows: ModelRows) -> Predictions:
    session = bench.session(trial.setting)
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(names, rows.feeds), strict=True))
    if "prediction" in answers:
        return Predictions(values=np.asarray(answers["prediction"]).reshape(-1))
    return Predictions(labels=answers["label"].reshape(-1), probabilities=answers["probabilities"])


def _measured(
    plan: Plan, cpus: int, ratio: tuple[float, float, float], before: Point | None, after: Point | None
) -> dict[str, Any]:
    def shown(point: Point | None) -> dict[str, Any] | None:
        if point is None:
            return None
        return {
            "requests_per_second": round(point.requests_per_second, 1),
            "p99_ms": round(point.p99_ms, 3),
            "connections": point.connections,
        }

    return {
        "objective_ms": plan.objective_ms, "cpu": cpu_name(), "cpus": cpus, "onnxruntime": ort.__version__,
        "ratio": round(ratio[0], 3), "before": shown(before), "after": shown(after),
    }  # fmt: skip


def _name(folder: Path) -> str:
    from stagewright.components.runtime.model import METADATA_FILE, ModelMetadata

    return (ModelMetadata.read(folder).name if (folder / METADATA_FILE).is_file() else "") or "model"

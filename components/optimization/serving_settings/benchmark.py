"""Find how a model is best served on this CPU, prove it on the real predictor, and write it into the model."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from stagewright.components.export.table_answers import rule
from stagewright.components.measurement import server_process
from stagewright.components.measurement.inference_timing import Bench, Setting, Trial
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.measurement.processor import cpu_name
from stagewright.components.optimization.serving_settings import trials
from stagewright.components.optimization.serving_settings.plan import Plan
from stagewright.components.optimization.serving_settings.proof import Capacity, Proof, confirm, existing_settings
from stagewright.components.optimization.serving_settings.result import Benchmark
from stagewright.components.optimization.serving_settings.search import Found, search, thread_counts
from stagewright.components.optimization.serving_settings.trials import Experiment
from stagewright.components.runtime import folders, logs, parity
from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.model import SERVING, Predictions
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.serving_settings import ServingSettings

REQUESTS = 400  # different rows that are asked for
INFERENCE_SHARE, INFERENCE_ROUNDS = 4, 3  # on the graph alone a quarter of the time shows as much, and it decides nothing alone


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
    folder, cpus = Path(model), available_cpus()
    rows = ModelRows.load(folder, data)
    existing = existing_settings(folder)
    default = Setting(
        existing.graph_optimization, existing.threads or cpus, existing.concurrency or max(2, cpus)
    )  # what the predictor does by itself, where the model says nothing
    bench = Bench(rows, default, seconds=plan.seconds / INFERENCE_SHARE, rounds=INFERENCE_ROUNDS)
    with progress("measuring settings of the graph"):
        found = search(
            bench, cpus=cpus, objective_ms=plan.objective_ms, batch_sizes=plan.batch_sizes,
            threads=plan.threads or thread_counts(cpus),
        )  # fmt: skip
    finalists, dropped, differences = _equal_answers(bench, rows, found.finalists)
    requests = rows.requests(server_process.NAME, rows=plan.request_rows, count=max(1, REQUESTS // plan.request_rows))
    with progress("trying settings on the predictor"):
        races = _races(folder, existing, finalists, found, requests, plan)
    with progress("proving the best on the predictor"):
        proof = confirm(folder, existing, trials.best_of(races), requests, plan)
    chosen = proof.candidate if proof.proved and proof.candidate else existing
    settings = replace(chosen, measured=_measured(plan, cpus, proof))
    logs.event("settings_chosen", changed=proof.proved, threads=settings.threads, ratio=round(proof.ratio[0], 3))
    return Benchmark(
        _name(folder), plan, cpu_name(), cpus, default, existing, found, dropped, races, proof, settings,
        differences.get(trials.setting_of(chosen, default), 0.0), rows.table.height,
    )  # fmt: skip


def write(model: str | Path, optimized: str | Path, found: Benchmark) -> None:
    """Copy a model folder, with the chosen settings in `serving/settings.json`.

    Raises:
        GateFailed: If no setting meets the objective.
    """
    if found.failures:
        raise GateFailed(f"settings of model '{found.name}'", found.failures)
    with folders.atomic_folder(optimized) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
        found.settings.write(folder / SERVING)


def _races(
    folder: Path, existing: ServingSettings, finalists: Sequence[Trial], found: Found, requests: Sequence[bytes], plan: Plan
) -> list[Experiment]:
    if not finalists:
        return []
    first = trials.threads_and_concurrency(folder, existing, finalists, requests, plan)
    if first.race.winner is None:
        return [first]
    second = trials.batches(folder, first, found.sizes, max(found.milliseconds), requests, plan)
    return [first] if second is None else [first, second]


def _equal_answers(
    bench: Bench, rows: ModelRows, finalists: Sequence[Trial]
) -> tuple[list[Trial], dict[str, str], dict[Setting, float]]:
    """The settings with the model's own predictions, the reason why others are dropped, and the largest differences."""
    default = Trial(bench.default, 1)
    own = rows.own or _answers(bench, default, rows)
    tolerance, spread = rule(rows.folder, own)
    kept, dropped, differences = [], {}, {}
    for trial in [default, *finalists]:
        answered = _answers(bench, trial, rows)
        found = parity.compare(own, answered, tolerance, spread=spread, threshold=rows.signature.threshold)
        failures = found.failures(own, answered, tolerance)
        differences[trial.setting] = found.largest
        if failures and trial is default:
            raise GateFailed(f"the answers of model '{_name(rows.folder)}'", failures)
        if failures:
            dropped[str(trial.setting)] = "; ".join(failures)
        elif trial is not default:
            kept.append(trial)
    return kept, dropped, differences


def _answers(bench: Bench, trial: Trial, rows: ModelRows) -> Predictions:
    names = Predictions.output_names(rows.signature.classes)
    answers = bench.session(trial.setting).run(names, rows.feeds)
    return Predictions.from_outputs(dict(zip(names, map(np.asarray, answers), strict=True)))


def _measured(plan: Plan, cpus: int, proof: Proof) -> dict[str, Any]:
    def shown(held: Capacity | None) -> dict[str, Any] | None:
        if held is None:
            return None
        return {"requests_per_second": round(held.requests_per_second, 1), "p99_ms": round(held.p99_ms, 3)}

    return {
        "objective_ms": plan.objective_ms, "request_rows": plan.request_rows, "cpu": cpu_name(), "cpus": cpus,
        "onnxruntime": ort.__version__, "ratio": round(proof.ratio[0], 3) if proof.proved else 1.0,
        "before": shown(proof.before), "after": shown(proof.after),
    }  # fmt: skip


def _name(folder: Path) -> str:
    from stagewright.components.runtime.model import METADATA_FILE, ModelMetadata

    return (ModelMetadata.read(folder).name if (folder / METADATA_FILE).is_file() else "") or "model"

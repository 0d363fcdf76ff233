"""Distillation: train several small students of one teacher and select the fastest that passes the gates."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.evaluation.evaluate import answer
from stagewright.components.export.graph import whole
from stagewright.components.measurement.graph_latency import measure
from stagewright.components.metrics.outcome import Outcome, classification, known_rows, regression
from stagewright.components.optimization.distillation.compare import Limits, compare
from stagewright.components.optimization.distillation.result import Attempt, Distilled
from stagewright.components.optimization.distillation.students import DEEP, Student, students
from stagewright.components.optimization.distillation.teach import DistillationContext, Options
from stagewright.components.optimization.distillation.teacher import Teacher
from stagewright.components.runtime import folders, logs, naming, tables, tracking
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.model import decide
from stagewright.components.runtime.schema import Schema, Task
from stagewright.components.runtime.seeds import checked_seed
from stagewright.components.training import folder as model_folder
from stagewright.components.training import record

PURPOSE = "distill_model records its run there"
SIMILAR = 1.05  # latencies within this factor of the best count as equal: then the smaller graph is chosen


def distill_model(
    teacher: str | Path,
    *,
    train: str | Path,
    validation: str | Path,
    test: str | Path,
    schema: str | Path,
    model: str | Path,
    name: str,
    student: str = "auto",
    params: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    options: Options | None = None,
    seed: int = 0,
) -> Distilled:
    """Train students, select one on the validation rows and evaluate it on the test rows.

    The chosen student's folder is written and its run recorded only if it passed; the caller raises what `require` says.

    Args:
        teacher: Folder of an exported model.
        train: Parquet file whose rows the teacher labels, and from which others like them are made.
        model: Folder to write; it appears if the student has passed.
        name: Of the student's model, and of the MLflow experiment.
        student: auto, trees, linear, mlp, vision or transformer.
        params: Parameters of the one student to try.

    Raises:
        InputError: If teacher and data do not fit together, or a parameter cannot be used.
        ServiceUnavailable: If MLflow does not answer.
    """
    naming.model_name(name)
    limits, options = limits or Limits(), options or Options()
    _check(options, seed)
    master = Teacher.load(teacher)
    read = Schema.read(schema)
    limits.check(Task(master.signature.task))
    candidates = students(
        student,
        params or {},
        teacher=master.metadata.framework if master.metadata else "",
        hidden_loss=bool(options.hidden_weight),
    )
    _check_hidden(options, master)
    context = DistillationContext(
        master, train=Path(train), validation=Path(validation), schema=Path(schema), name=name, options=options, seed=seed
    )
    first = context.inputs(candidates[0])
    master.require(read.task.value if read.task else "", first.classes, first.target)
    attempts = _attempts(context, candidates, Path(validation), limits)
    chosen = _choose(attempts, limits)
    return _judged(context, attempts, chosen, Path(test), Path(model), limits)


def _attempts(context: DistillationContext, candidates: list[Student], validation: Path, limits: Limits) -> list[Attempt]:
    rows = tables.read_table(validation)
    known = known_rows(rows, context.schema.target or "", split="validation")
    theirs = _teacher_outcome(context.teacher, known, context.schema.target or "", split="validation")
    taught = []
    for candidate in candidates:
        started = time.perf_counter()
        found = context.teach(candidate)
        if found is not None:
            taught.append(found)
            logs.event("student_taught", student=candidate.name, seconds=round(time.perf_counter() - started, 2))
    graphs = {found.student.name: whole(found.model).SerializeToString(deterministic=True) for found in taught}
    contest = {"teacher": (context.teacher.graph, context.teacher.feeds)}
    contest |= {found.student.name: (graphs[found.student.name], found.model.features.feeds) for found in taught}
    latencies = measure(contest, rows)
    attempts = []
    for found in taught:
        key = found.student.name
        compared = compare(
            theirs, answer(found.model, known, split="validation"), metric=limits.metric,
            latency={"teacher": latencies["teacher"], "student": latencies[key]},
            sizes={"teacher": len(context.teacher.graph), "student": len(graphs[key])},
        )  # fmt: skip
        attempts.append(Attempt(found, graphs[key], compared, compared.failures(limits)))
    return attempts


def _choose(attempts: list[Attempt], limits: Limits) -> Attempt:
    """The fastest that passes, of equally fast ones the smallest; if none passes, the one that breaks fewest limits."""
    passing = [attempt for attempt in attempts if not attempt.failures]
    if not passing:
        return min(attempts, key=lambda attempt: (len(attempt.failures), attempt.validation.loss))

    def seconds(attempt: Attempt) -> float:
        latency = attempt.validation.latency["student"]
        return latency.single_row if limits.load == "single_row" else latency.batch

    best = min(map(seconds, passing))
    fast = [attempt for attempt in passing if seconds(attempt) <= SIMILAR * best]
    return min(fast, key=lambda attempt: len(attempt.graph))


def _judged(
    context: DistillationContext, attempts: list[Attempt], chosen: Attempt, test: Path, model: Path, limits: Limits
) -> Distilled:
    target = context.schema.target or ""
    rows = known_rows(tables.read_table(test), target, split="test")
    outcomes = {
        "teacher": _teacher_outcome(context.teacher, rows, target, split="test"),
        "student": answer(chosen.taught.model, rows, split="test"),
    }
    compared = compare(
        outcomes["teacher"], outcomes["student"], metric=limits.metric, latency=chosen.validation.latency,
        sizes=chosen.validation.bytes, resample=True, seed=context.seed,
    )  # fmt: skip
    failures = compared.failures(limits) or [f"on the validation rows {clause}" for clause in chosen.failures]
    hashes = chosen.taught.job.inputs.hashes
    notes = [note for note in (context.teacher.saw(hashes),) if note]
    taught, known = context.rows
    found = Distilled(
        name=context.name, teacher=context.teacher, attempts=attempts, chosen=chosen, test=compared, outcomes=outcomes,
        limits=limits, options=context.options, failures=failures, notes=notes,
        rows={"real": int(known.sum()), "made": int(taught.height - known.sum()), "test": rows.height},
    )  # fmt: skip
    logs.event(
        "distilled", student=chosen.student.name, passed=found.passed, loss=round(compared.loss, 3),
        batch_speedup=round(compared.speedup["batch"], 2), single_row_speedup=round(compared.speedup["single_row"], 2),
    )  # fmt: skip
    return _recorded(found, model) if found.passed else found


def _recorded(found: Distilled, model: Path) -> Distilled:
    """Write the chosen student as a model of its own, with a run in MLflow that names the teacher."""
    job, fit = found.chosen.taught.job, found.chosen.taught.fit
    tags = job.tags() | {
        "stagewright.teacher": found.teacher.label,
        "stagewright.teacher.digest": found.teacher.fingerprint.digest,
    }
    with (
        tracking.run(
            job.name, run_name=f"distilled {job.framework} {job.plan.algorithm}", parameters=job.parameters(), tags=tags,
            purpose=PURPOSE,
        ) as run,
        folders.atomic_folder(model) as folder,
    ):  # fmt: skip
        for use, digest in job.inputs.hashes.items():
            run.log_dataset(f"{job.name}-{use}", sha256=digest, context=use)
        record.history(run, fit, seconds=0.0)
        run.log_metrics(found.figures())
        metadata = job.metadata(fit, run.run_id)
        model_folder.write(
            folder, metadata=metadata, features=job.inputs.features, estimator=fit.estimator, example=job.inputs.example,
            learned=job.inputs.learned,
        )  # fmt: skip
        run.log_artifacts(folder, "model")
    return replace(found, run_id=run.run_id)


def _teacher_outcome(teacher: Teacher, rows: pl.DataFrame, target: str, *, split: str) -> Outcome:
    answered, truth, signature = teacher.answer(rows), rows[target], teacher.signature
    if signature.classes is None:
        return regression(truth.cast(pl.Float64).to_numpy(), answered, split=split)
    labels = [signature.classes[code] for code in decide(answered.astype(np.float32), signature.threshold)]
    return classification(Task(signature.task), signature.classes, truth.to_list(), labels, answered, split=split)


def _check(options: Options, seed: int) -> None:
    checked_seed(seed)
    if not 0 <= options.augmentation <= 100:
        raise BadParameter("augmentation", got=options.augmentation, expected="a number from 0 to 100")
    if not 0 < options.temperature <= 100:
        raise BadParameter("temperature", got=options.temperature, expected="a number above 0 and at most 100")
    if not 0 <= options.hard_weight <= 1:
        raise BadParameter("hard_weight", got=options.hard_weight, expected="a share from 0 to 1")
    if not options.hidden_weight >= 0:
        raise BadParameter("hidden_weight", got=options.hidden_weight, expected="a number of at least 0")


def _check_hidden(options: Options, teacher: Teacher) -> None:
    made_by = teacher.metadata.framework if teacher.metadata else "onnx"
    if options.hidden_weight and made_by not in {"torch", *DEEP}:
        raise InputError(
            f"hidden_weight is {options.hidden_weight:g} and the teacher, a model of {made_by}, has no hidden layers to learn "
            "from; set it to 0, or teach from a network"
        )

"""Train a model on fitted features, recorded as an MLflow run from its first to its last iteration."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagewright.components.runtime import folders, logs, naming, positive, tracking
from stagewright.components.runtime.frameworks import framework_module
from stagewright.components.runtime.model import ModelMetadata
from stagewright.components.runtime.positive import THRESHOLD
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.seeds import checked_seed
from stagewright.components.training import folder as model_folder
from stagewright.components.training import record
from stagewright.components.training.frameworks._base import Fit, Framework
from stagewright.components.training.inputs import prepare

PURPOSE = "train_model records its run there"


def train_model(
    train: str | Path,
    validation: str | Path,
    *,
    features: str | Path,
    schema: str | Path,
    model: str | Path,
    name: str,
    framework: str = "xgboost",
    params: Mapping[str, Any] | None = None,
    class_weight: str = "none",
    positive_class: str = "",
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> ModelMetadata:
    """Train on one table, watch another, write the model folder and record all of it in MLflow.

    Args:
        train: Parquet file to learn from.
        validation: Parquet file that decides when to stop.
        features: Folder of the fitted features.
        schema: Schema file, with target and task.
        model: Folder to write; it appears when the model is complete.
        name: Of the model, and of the MLflow experiment.
        framework: Name of the framework, see `runtime.frameworks`.
        params: Hyperparameters by name; the framework's own defaults for those not given.
        positive_class: The one of two classes that metrics and threshold are about; empty: the second in sorted order.
        threshold: Probability of the positive class from which it is answered.
        class_weight: none, or balanced for classes that count the same however rare they are.

    Returns:
        What was written to model.json, with the id of the MLflow run.

    Raises:
        InputError: For anything unusable in the data or the parameters, before a run begins.
        ServiceUnavailable: If MLflow does not answer.
    """
    naming.model_name(name)
    checked_seed(seed)
    positive.check_positive(threshold)
    library: Framework = framework_module(framework)
    job = record.Job(
        name=name,
        framework=framework,
        plan=library.plan(params or {}),
        inputs=prepare(Path(train), Path(validation), Path(features), Path(schema), class_weight, positive_class),
        class_weight=class_weight,
        seed=seed,
        libraries=model_folder.libraries(framework),
        threshold=float(threshold),
    )
    positive.check_positive(threshold, positive_class, binary=job.inputs.task is Task.BINARY, task=job.inputs.task.value)
    made_for = job.inputs.features.framework
    if made_for != framework:
        logs.event("features_of_another_framework", level=logging.WARNING, made_for=made_for, used_by=framework)
    with (
        tracking.run(
            name,
            run_name=f"{framework} {job.plan.algorithm}",
            parameters=job.parameters(),
            tags=job.tags(),
            purpose=PURPOSE,
        ) as run,
        folders.atomic_folder(model) as folder,
    ):
        for use, digest in job.inputs.hashes.items():
            run.log_dataset(f"{name}-{use}", sha256=digest, context=use)
        started = time.perf_counter()
        fit: Fit = library.train(job.inputs.data, job.plan, seed=seed)
        seconds = time.perf_counter() - started
        record.history(run, fit, seconds=seconds)
        metadata = job.metadata(fit, run.run_id)
        model_folder.write(
            folder,
            metadata=metadata,
            features=job.inputs.features,
            estimator=fit.estimator,
            example=job.inputs.example,
            learned=job.inputs.learned,
        )
        run.log_artifacts(folder, "model")
    logs.event(
        "model_trained", framework=framework, algorithm=metadata.algorithm, rows=metadata.training_rows,
        features=len(metadata.features), iterations=fit.best_iteration, seconds=round(seconds, 3), run_id=metadata.run_id,
    )  # fmt: skip
    return metadata

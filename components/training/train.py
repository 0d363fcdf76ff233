"""Train a model on fitted features and record the MLflow run."""

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
    """Train a model, write the model folder and record the run in MLflow.

    Args:
        train: Parquet file of the training split.
        validation: Parquet file of the validation split, for early stopping.
        features: Folder of the fitted features.
        schema: Schema file with target and task.
        model: Folder to write. It appears when the model is complete.
        name: Name of the model and of the MLflow experiment.
        framework: Name of the framework, see `runtime.frameworks`.
        params: Hyperparameters by name. Default: the defaults of the framework.
        positive_class: Positive class of a binary task. Default: the second in sorted order.
        threshold: Minimum probability of the positive class to predict it.
        class_weight: none, or balanced, which gives each class the same total weight.

    Returns:
        The content of model.json, with the id of the MLflow run.

    Raises:
        InputError: If data or parameters cannot be used; raised before the MLflow run begins, unless training itself fails.
        ServiceUnavailable: If MLflow does not respond.
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

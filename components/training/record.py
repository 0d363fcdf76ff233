"""The record of a training run in MLflow and in model.json."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime import fingerprint, positive
from stagewright.components.runtime.model import ModelMetadata
from stagewright.components.runtime.parity import spread
from stagewright.components.runtime.positive import THRESHOLD
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.signature import Signature
from stagewright.components.runtime.tracking import Run
from stagewright.components.training.frameworks._base import Fit, Plan
from stagewright.components.training.inputs import Inputs

_MACHINE = {"device", "threads"}  # parameters about the machine, not about the model


@dataclass(frozen=True, slots=True)
class Job:
    """One training run: name, method, inputs.

    Attributes:
        name: Name of the model and of the MLflow experiment.
        libraries: Version of each package that the model uses.
    """

    name: str
    framework: str
    plan: Plan
    inputs: Inputs
    class_weight: str
    seed: int
    libraries: Mapping[str, str]
    threshold: float = THRESHOLD

    def parameters(self) -> dict[str, Any]:
        """MLflow's parameters of the run."""
        data = self.inputs.data
        general = {
            "framework": self.framework,
            "algorithm": self.plan.algorithm,
            "task": self.inputs.task.value,
            "target": self.inputs.target,
            "class_weight": self.class_weight,
            **self.decision(),
            "seed": self.seed,
            "training_rows": len(data.train.y),
            "validation_rows": len(data.validation.y),
            "features": len(data.features),
        }
        return general | {f"params.{parameter}": value for parameter, value in self.plan.params.items()}

    def decision(self) -> dict[str, Any]:
        """The positive class and its threshold; empty unless the task is binary."""
        if self.inputs.task is not Task.BINARY or self.inputs.classes is None:
            return {}
        return {"positive_class": positive.class_name(self.inputs.classes[1]), "threshold": self.threshold}

    def tags(self) -> dict[str, str]:
        """MLflow's tags of the run: hashes of the inputs and versions of the packages."""
        return {
            "stagewright.framework": self.framework,
            "stagewright.task": self.inputs.task.value,
            "stagewright.recipe": self.recipe(),
            "stagewright.features": self.inputs.features.hash,
            **{f"stagewright.{name}": str(value) for name, value in self.decision().items()},
            **{f"stagewright.data.{use}": digest for use, digest in self.inputs.hashes.items()},
            **{f"stagewright.library.{package}": number for package, number in self.libraries.items()},
        }

    def recipe(self) -> str:
        """Hash of how the model is trained. It contains nothing learned, so retraining on new data gives the same hash."""
        document: dict[str, Any] = {
            "framework": self.framework,
            "algorithm": self.plan.algorithm,
            "params": {name: value for name, value in self.plan.params.items() if name not in _MACHINE},
            "class_weight": self.class_weight,
            "features": self.inputs.features.specification,
            "target": self.inputs.target,
            "task": self.inputs.task.value,
            "columns": sorted((column.name, column.kind.value) for column in self.inputs.schema.features),
        }
        if self.threshold != THRESHOLD:
            document["threshold"] = self.threshold
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def metadata(self, fit: Fit, run_id: str) -> ModelMetadata:
        """The content of model.json."""
        inputs, weights = self.inputs, fit.estimator.importances()
        served = Signature(inputs.task.value, inputs.features.inputs, inputs.classes)
        return ModelMetadata(
            framework=self.framework,
            algorithm=self.plan.algorithm,
            task=inputs.task.value,
            target=inputs.target,
            classes=inputs.classes,
            params=self.plan.params,
            seed=self.seed,
            features=[feature.to_dict() for feature in inputs.features.outputs],
            training_rows=len(inputs.data.train.y),
            validation_rows=len(inputs.data.validation.y),
            data=inputs.hashes,
            libraries=dict(self.libraries),
            schema=inputs.schema.model_dump(mode="json", exclude_defaults=True),
            recipe=self.recipe(),
            signature=fingerprint.signature_hash(served),
            name=self.name,
            run_id=run_id,
            class_weight=self.class_weight,
            threshold=self.threshold,
            best_iteration=fit.best_iteration,
            target_spread=None if inputs.classes else spread(inputs.data.train.y),
            importances={} if weights is None else dict(zip(inputs.features.names, map(float, weights), strict=True)),
        )


def history(run: Run, fit: Fit, *, seconds: float) -> None:
    """Log each metric of each iteration, then the run's totals; `best_...` belongs to the iteration that is kept."""
    steps: dict[int, dict[str, float]] = {}
    best: dict[str, float] = {}
    for name, values in fit.history.items():
        for step, value in enumerate(values, start=1):
            steps.setdefault(step, {})[name] = value
        if values:
            kept = min(fit.best_iteration or len(values), len(values))
            best[f"best_{name}"] = values[kept - 1]
    run.log_history(sorted(steps.items()))
    if fit.best_iteration is not None:
        best["best_iteration"] = float(fit.best_iteration)
    run.log_metrics({"training_seconds": seconds} | {name: value for name, value in best.items() if math.isfinite(value)})

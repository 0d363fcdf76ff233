"""Collect a run's outputs from its steps: version, addresses, metrics and reports."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.pipelines.local.backend_form import BUCKET, place
from stagewright.pipelines.local.runner import Run

# Source of each result: step and output parameter.
PARAMETERS = {
    "version": ("register-model", "Output"),
    "model_uri": ("publish-model", "Output"),
    "endpoint": ("deploy-model", "Output"),
    "cost_per_million": ("optimize-cost", "Output"),
}
# Artifacts for the user: step, artifact and file name in the run's folder.
DOCUMENTS = {
    "report": ("evaluate-model", "report", "report.html"),
    "quantization_report": ("quantize-model", "report", "quantization.html"),
    "distillation_report": ("distill-model", "report", "distillation.html"),
    "benchmark_report": ("benchmark-model", "report", "benchmark.html"),
    "cost_report": ("optimize-cost", "report", "cost.html"),
    "patch": ("optimize-cost", "manifest", "patch.yaml"),
    "data_report": ("validate-data", "report", "data.html"),
    "schema": ("validate-data", "schema", "schema.json"),
    "evaluation": ("evaluate-model", "evaluation", "evaluation.json"),
    "model_card": ("write-model-card", "page", "model_card.html"),
    "manifest": ("deploy-model", "manifest", "inference_service.yaml"),
}


@dataclass(frozen=True, slots=True)
class Output:
    """Outputs of a step: parameters and artifact paths by name."""

    parameters: dict[str, Any]
    artifacts: dict[str, Path]


def collect(run: Run) -> dict[str, Any]:
    """Outputs of a run by public name; outputs of failed or skipped steps are missing."""
    steps = dict(_steps(run.folder / BUCKET))
    outputs: dict[str, Any] = {
        name: steps[step].parameters[parameter]
        for name, (step, parameter) in PARAMETERS.items()
        if step in steps and parameter in steps[step].parameters
    }
    for name, (step, artifact, file_name) in DOCUMENTS.items():
        made = _artifact(run.folder / BUCKET, steps, step, artifact)
        if made is not None:
            target = run.folder / file_name
            shutil.copyfile(made, target)
            outputs[name] = str(target)
    evaluation = _artifact(run.folder / BUCKET, steps, "evaluate-model", "evaluation")
    if evaluation is not None:
        outputs["metrics"] = json.loads(evaluation.read_text())["metrics"]
    return outputs | run.outputs


def artifact(run: Run, step: str, name: str) -> Path:
    """Path of a step's output artifact.

    Raises:
        KeyError: If the step did not run or has no such artifact.
    """
    return dict(_steps(run.folder / BUCKET))[step].artifacts[name]


def model_folder(run: Run) -> Path | None:
    """Folder of the model that a run exported or imported, with its `serving/`; None if there is none."""
    steps = dict(_steps(run.folder / BUCKET))
    for step, artifact in (("export-model", "exported"), ("import-model", "model")):
        if step in steps and artifact in steps[step].artifacts:
            return steps[step].artifacts[artifact]
    return None


def _steps(root: Path) -> Iterator[tuple[str, Output]]:
    for path in root.glob("*/*/executor_output.json"):
        document = json.loads(path.read_text())
        artifacts = {
            name: place(entry["artifacts"][0]["uri"], root)
            for name, entry in document.get("artifacts", {}).items()
            if entry["artifacts"]
        }
        yield path.parent.name, Output(document.get("parameterValues", {}), artifacts)


def _artifact(root: Path, steps: dict[str, Output], step: str, artifact: str) -> Path | None:
    """Path of an artifact's file. A step that failed its gate has a report but no list of outputs."""
    place = steps[step].artifacts.get(artifact) if step in steps else next(root.glob(f"*/{step}/{artifact}"), None)
    return place if place is not None and place.is_file() else None

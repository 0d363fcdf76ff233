"""The twelve calls of `train-model`, made one after another in this process: what a run is compared with in `overhead.py`.

Usage: python benchmarks/one_process.py DATA NAME

The functions are those of the compiled pipeline, called without Kubeflow. Artifacts lie in a temporary folder.
"""

import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

COMPILED = Path(__file__).parents[1] / "pipelines" / "compiled" / "train-model.yaml"


class Artifact:
    """As much of Kubeflow's artifact as the components use."""

    def __init__(self, path: Path) -> None:
        self.path = self.uri = str(path)
        self.name, self.metadata = path.name, dict[str, Any]()

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        self.metadata["confusion"] = matrix

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        self.metadata["roc"] = [fpr, tpr, threshold]


def functions() -> dict[str, Callable[..., Any]]:
    """Functions of the pipeline's components by name."""
    os.environ["_KFP_RUNTIME"] = "true"  # as in a step: kfp is then imported without its compiler
    spec = next(yaml.load_all(COMPILED.read_text(), yaml.CSafeLoader))
    found: dict[str, Callable[..., Any]] = {}
    for executor in spec["deploymentSpec"]["executors"].values():
        scope: dict[str, Any] = {}
        exec(executor["container"]["command"][-1], scope)
        arguments = executor["container"]["args"]
        name = arguments[arguments.index("--function_to_execute") + 1]
        found[name] = scope[name]
    return found


def main() -> None:
    data, name = sys.argv[1:]
    known = functions()
    folder = Path(tempfile.mkdtemp())

    def call(function: str, **given: Any) -> dict[str, Any]:
        """Call a component; its artifacts by name, and what it returned as Output."""
        parameters = inspect.signature(known[function]).parameters.values()
        made = {p.name: Artifact(folder / f"{function}-{p.name}") for p in parameters if p.default is p.empty}
        used = {**made, **given}
        return {**used, "Output": known[function](**used)}

    ingested = call("ingest_data", data=data, name=name, deploy_to="local")
    validated = call("validate_data", dataset=ingested["dataset"], target="churn")
    split = call("split_data", dataset=ingested["dataset"], schema=validated["schema"])
    fitted = call("fit_features", train=split["train"], schema=validated["schema"], framework="xgboost")
    trained = call(
        "train_model", train=split["train"], validation=split["validation"], features=fitted["features"],
        schema=validated["schema"], name=name,
    )  # fmt: skip
    splits = {key: split[key] for key in ("train", "validation", "test")}
    evaluated = call(
        "evaluate_model", model=trained["model"], **splits, name=name, slices=["contract"], run_id=trained["Output"]
    )
    exported = call("export_model", model=trained["model"], validation=split["validation"])["exported"]
    judged = {"model": exported, "evaluation": evaluated["evaluation"], "name": name}
    card = call("write_model_card", **judged, schema=validated["schema"], deploy_to="local")["card"]
    version = call("register_model", **judged, card=card, run_id=trained["Output"])["Output"]
    published = call("publish_model", model=exported, card=card, name=name, version=version)["Output"]
    call("deploy_model", name=name, version=version, model_uri=published)
    call("promote_model", name=name, version=version)
    os._exit(0)  # as a step ends


if __name__ == "__main__":
    main()

"""The models of the quantization benchmark, and the pipeline that quantizes them on this machine."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import deep_models, trainings

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.local import results, runner, services

SMALLER, FASTER, POINTS = 3.0, 1.5, 1.0  # at least, at least, at most
REJECTED = "reviews-rejected"
SERVICES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and the rows that are available for it.

    Attributes:
        learned: Rows that training gets, a quarter of them to watch.
        offered: Rows that the pipeline gets; what is left nobody sees before the model is served.
        batch: Rows of a request in the load of batches.
    """

    name: str
    framework: str
    params: Mapping[str, Any]
    table: Callable[[], pl.DataFrame]
    data: Callable[[Path, pl.DataFrame], trainings.Data]
    target: str
    learned: int
    offered: int
    batch: int


SUBJECTS = (
    Subject(
        "digits", "torch_vision", deep_models.DIGITS_PARAMS | {"stages": [128, 256, 512]},
        deep_models.digits_table, deep_models.digits_data, "digit", 900, 400, 64,
    ),
    Subject(
        "reviews", "transformers", deep_models.REVIEWS_PARAMS,
        lambda: deep_models.reviews_table(4000), deep_models.reviews_data, "score", 1500, 1000, 16,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A trained model, the file that the pipeline is given, and the rows that were kept back."""

    subject: Subject
    model: Path
    offered: Path
    kept: pl.DataFrame


def prepare(subject: Subject, folder: Path) -> Prepared:
    """Train, unless that was done before."""
    table = subject.table().sample(fraction=1, shuffle=True, seed=1)
    learned, offered = table[: subject.learned], table[subject.learned : subject.learned + subject.offered]
    if not (folder / "exported").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        deep_models.make(folder, subject.name, lambda at: subject.data(at, learned), subject.framework, subject.params)
        deep_models.made_elsewhere(folder / "exported")
    tables.write_table(offered, folder / "offered.parquet")
    kept = table[subject.learned + subject.offered :]
    return Prepared(subject, folder / "exported", folder / "offered.parquet", kept)


@contextmanager
def laptop(home: Path) -> Iterator[None]:
    """An object store, MLflow and deployments of our own, ended afterwards."""
    for name in SERVICES:
        os.environ.pop(name, None)
    os.environ["STAGEWRIGHT_HOME"] = str(home)
    try:
        yield
    finally:
        for deployment in deployments.services():
            deployments.stop(deployment.name)
        services.down()


def quantize(prepared: Prepared, reports: Path) -> dict[str, Any]:
    """Run the pipeline, which must end well; its outputs, and what its candidates came to."""
    name = prepared.subject.name
    arguments = {
        "model": str(prepared.model), "data": str(prepared.offered), "name": name, "minimum_speedup": FASTER,
        "minimum_size_ratio": SMALLER, "tolerance": POINTS,
    }  # fmt: skip
    run = runner.run("quantize", arguments)
    outputs = results.collect(run)
    keep(run, outputs, reports / f"{name}.html")
    if run.failed_step is not None:
        raise GateFailed(f"pipeline quantize for {name}", [f"step {run.failed_step.name}: {run.failed_step.error}"])
    found = json.loads(results.artifact(run, "quantize-model", "results").read_text())
    return outputs | {"candidates": [figures(candidate) for candidate in found["candidates"]]}


def figures(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth knowing of a candidate beside the others."""
    measured, times = candidate.get("quality", {}), candidate.get("speed", {})
    return {
        "method": candidate["method"], "size_ratio": candidate["size_ratio"], "failures": candidate["failures"],
        "speedup": {load: one["speedup"] for load, one in times.items()},
        "points_lost": measured.get("points_lost"), "points_lost_interval": measured.get("points_lost_interval"),
    }  # fmt: skip


def reject(prepared: Prepared, reports: Path) -> dict[str, Any]:
    """Run the pipeline with a method that loses too much: what it says, and whether anything was published."""
    arguments = {
        "model": str(prepared.model), "data": str(prepared.offered), "name": REJECTED, "methods": ["static-minmax"],
        "minimum_speedup": FASTER, "tolerance": POINTS, "deploy_to": "none", "seconds": 5.0,
    }  # fmt: skip
    run = runner.run("quantize", arguments)
    keep(run, results.collect(run), reports / "rejected.html")
    found = json.loads(next(run.folder.glob("steps/*/quantize-model/results")).read_text())["candidates"][0]
    store = ObjectStore.from_environment("the benchmark looks at what was published")
    return {
        "method": found["method"], "points_lost": found["quality"]["points_lost"], "tolerance": POINTS,
        "points_lost_interval": found["quality"]["points_lost_interval"],
        "rejected": run.failed_step is not None, "error": run.failed_step.error if run.failed_step else "",
        "published": store.exists(f"s3://models/{REJECTED}/v1.0.0/manifest.json"),
    }  # fmt: skip


def keep(run: runner.Run, outputs: Mapping[str, Any], path: Path) -> None:
    """Keep a run's report, whose own folder goes with the services.

    Raises:
        GateFailed: If the run ended before there was one.
    """
    if "quantization_report" not in outputs:
        raise GateFailed(
            f"pipeline quantize, for {path.stem}", [run.failed_step.error or "" if run.failed_step else "no report"]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(outputs["quantization_report"], path)

"""`stagewright run`: run a pipeline locally, show its steps and its outputs."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from stagewright.components.runtime.errors import one_of
from stagewright.components.runtime.settings import StorageSettings, load_settings
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines import checks
from stagewright.pipelines.cli import view
from stagewright.pipelines.local import results, services
from stagewright.pipelines.local import runner as local
from stagewright.pipelines.local.runner import Run
from stagewright.pipelines.watch import SUCCEEDED

RUNNERS = ("process", "docker")


def run_command(name: str, arguments: Mapping[str, Any], *, only_json: bool = False, runner: str = "process") -> int:
    """Run a pipeline and report it; returns 0, or the exit code of the failed step.

    Args:
        name: The pipeline's name.
        arguments: Its parameters, by name.
        only_json: Write only one JSON object to standard output; steps are shown on standard error if it is a terminal.
        runner: `process` for local processes, `docker` for containers of the project's images.

    Raises:
        InputError: For an argument that is invalid before anything runs.
    """
    one_of("runner", runner, RUNNERS)
    checks.check(name, arguments)
    if runner == "docker":
        from stagewright.pipelines.local import docker_steps

        docker_steps.connect()  # fail before services are started
    prepare(server=runner == "docker")
    # The console keeps the current stream: during a run, sys.stdout is redirected to kfp's log.
    console = Console(file=sys.stderr, quiet=not sys.stderr.isatty()) if only_json else Console(file=sys.stdout)
    run, outputs = execute(name, arguments, console, runner=runner)
    if only_json:
        sys.stdout.write(json.dumps(report(run, outputs)) + "\n")
    else:
        view.summary(console, run, outputs, example_row(run), str(arguments.get("name", "")))
    failed = run.failed_step
    return 0 if run.status == SUCCEEDED else failed.exit_code if failed else 1


def prepare(*, server: bool = False) -> None:
    """Start the local services that no setting replaces, and check the models bucket before any step runs.

    Args:
        server: Whether steps need MLflow's server because they cannot open its database file.

    Raises:
        StagewrightError: If the object store does not respond or denies access.
    """
    os.environ.update(services.environment(server=server))
    store = ObjectStore.from_environment("models are published to the object store")
    store.ensure_bucket(load_settings(StorageSettings, "models are published to the object store").models_bucket)


def execute(
    name: str, arguments: Mapping[str, Any], console: Console, *, runner: str = "process"
) -> tuple[Run, dict[str, Any]]:
    """Run a pipeline and show its steps; returns the run and its outputs by public name."""
    if runner == "docker":
        from stagewright.pipelines.local import containers

        prepared = containers.prepare(name, arguments)
        with view.watching(console) as watch:
            run = containers.run(prepared, watch=watch)
        return run, results.collect(run)
    with view.watching(console) as watch:
        run = local.run(name, arguments, watch=watch)
    return run, results.collect(run)


def report(run: Run, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A run as the object that `--json` prints."""
    document: dict[str, Any] = {
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "status": run.status,
        "seconds": round(run.seconds, 3),
        "steps": [{"name": step.name, "status": step.status, "seconds": round(step.seconds, 3)} for step in run.steps],
        "notices": [{"step": step.name, "message": notice} for step in run.steps for notice in step.notices],
        "outputs": dict(outputs),
    }
    if run.failed_step:
        document["error"] = {"step": run.failed_step.name, "message": run.failed_step.error}
    return document


def example_row(run: Run) -> dict[str, Any] | None:
    """One row of the model's baseline as a request instance; None if the run exported no model, or an image model."""
    model = results.model_folder(run)
    if model is None:
        return None
    import polars as pl

    from stagewright.components.runtime.signature import Signature

    serving = model / "serving"
    row = pl.read_parquet(serving / "baseline.parquet", n_rows=1) if (serving / "baseline.parquet").is_file() else None
    if row is None or row.is_empty() or any(isinstance(dtype, pl.Array) for dtype in row.dtypes):
        return None  # thousands of pixels are too long for a terminal
    return row.select(Signature.read(serving).names).row(0, named=True)

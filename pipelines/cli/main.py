"""The command `stagewright`: run, compile and submit pipelines, and manage local services and deployed models."""

import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stagewright.components.runtime import disk_faults
from stagewright.components.runtime.errors import StagewrightError
from stagewright.pipelines import catalog
from stagewright.pipelines.cli import cluster_commands, doctor_command, export_command, options, render_command

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

OnlyJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]


@app.callback()
def stagewright() -> None:
    """Machine-learning pipelines that run the same way on a laptop and on Kubeflow."""


def _run(name: str, arguments: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    from stagewright.pipelines.cli.run_command import run_command

    raise typer.Exit(run_command(name, arguments, **own))


_RUN_OPTIONS = {
    "only_json": (OnlyJson, False),
    "runner": (
        Annotated[
            str,
            typer.Option("--runner", help="process: each step in a local process. docker: each step in its container image."),
        ],
        "process",
    ),
}


def _group(action: options.Action, own: options.OwnOptions) -> typer.Typer:
    return typer.Typer(cls=options.pipeline_group(action, own), no_args_is_help=True)


app.add_typer(_group(_run, _RUN_OPTIONS), name="run", help="Run a pipeline on this machine.")
cluster_commands.register(app)
render_command.register(app)
export_command.register(app)
doctor_command.register(app)


@app.command()
def demo() -> None:
    """Train, publish and serve a churn model on real data, and check five predictions."""
    from stagewright.pipelines.cli.demo import demo as play

    raise typer.Exit(play())


@app.command()
def up(
    object_store_port: Annotated[
        int | None, typer.Option(help="Port of the object store. Default: 9000, or a free port if it is taken.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(help="Port of the MLflow UI. Default: 5000, or a free port if it is taken.")
    ] = None,
) -> None:
    """Start the local services: an S3 object store, and MLflow with its UI."""
    from stagewright.pipelines.local import services

    given = {services.OBJECT_STORE: object_store_port, services.TRACKING: mlflow_port}
    for service in services.up(ports={name: port for name, port in given.items() if port}):
        Console().print(f"{service.name:<14}{service.endpoint}", soft_wrap=True)
    Console().print(f"keys          {services.home() / 'services' / 'credentials.json'}", soft_wrap=True)


@app.command()
def down() -> None:
    """Stop local services and deployed models. Data is kept."""
    from stagewright.components.serving.targets import local as deployments
    from stagewright.pipelines.local import docker_steps, services

    models = [service.name for service in deployments.services() if deployments.stop(service.name)]
    left = [name for name in deployments.end_abandoned() if name not in models]
    ended = [*models, *left, *services.down(), *docker_steps.end_abandoned()]
    Console().print(f"stopped {', '.join(ended)}" if ended else "nothing was running")


@app.command()
def status() -> None:
    """Show the local services and deployed models."""
    from stagewright.pipelines.cli.status import show

    show(Console())


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="Name of a model deployed on this machine, or on another one with --endpoint.")],
    data: Annotated[str, typer.Option(help="File with the rows to predict, in any format that training reads.")],
    endpoint: Annotated[
        str | None, typer.Option(help="URL of the model server. Default: the model's deployment on this machine.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output file: .csv, .jsonl or .parquet. Default: CSV on standard output.")
    ] = None,
    identifier: Annotated[
        str,
        typer.Option(
            "--id",
            help="Id column to write with each prediction: a column name, auto (first column with unique values) or none.",
        ),
    ] = "auto",
    inputs: Annotated[bool, typer.Option("--inputs", help="Also write the model's input columns.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write the probability of each class.")] = False,
    decimal: Annotated[str, typer.Option(help="Decimal separator of text files: . or , (auto: detected).")] = "auto",
    thousands: Annotated[
        str, typer.Option(help="Thousands separator of text files: comma, point, space, apostrophe or none (auto: detected).")
    ] = "auto",
    missing: Annotated[list[str] | None, typer.Option(help="Text that means a missing value. Can be repeated.")] = None,
    date_format: Annotated[str, typer.Option(help="Date format of text files, e.g. %d.%m.%Y (auto: detected).")] = "auto",
) -> None:
    """Get predictions from a deployed model for the rows of a file."""
    from stagewright.pipelines.cli.predict import predict as ask

    ask(
        name, data, endpoint=endpoint, output=output, identifier=identifier, inputs=inputs, probabilities=probabilities,
        decimal=decimal, thousands=thousands, missing=missing or [],
        date_format=date_format,
    )  # fmt: skip


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="Model folder, s3:// address, or name of a registered model.")],
    name: Annotated[str | None, typer.Option(help="Name of the served model. Default: the model's own name.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 chooses a free port.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a model in the foreground with KServe's V1 and V2 protocols. Stop with Ctrl-C."""
    from stagewright.pipelines.cli.serve import serve as listen

    listen(model, name=name, port=port, host=host)


@app.command("compile")
def compile_(
    pipelines: Annotated[list[str] | None, typer.Argument(help="Pipelines to compile. Default: all.")] = None,
    output: Annotated[Path, typer.Option(help="Output folder.")] = Path("compiled"),
    registry: Annotated[str, typer.Option(help="Image registry.")] = "",
    tag: Annotated[str, typer.Option(help="Image tag. Default: this version.")] = "",
    profile: Annotated[str, typer.Option(help="Cluster settings: profile name or YAML file.")] = "default",
    format: Annotated[  # noqa: A002
        str,
        typer.Option(help="spec: pipeline specs for KFP. kubernetes: Pipeline and PipelineVersion objects for kubectl apply."),
    ] = "spec",
    namespace: Annotated[str, typer.Option(help="Namespace of the objects, for --format kubernetes.")] = "",
) -> None:
    """Compile pipelines for a cluster."""
    from stagewright.pipelines.kubeflow.compile import compile_pipelines

    for path in compile_pipelines(
        pipelines or [], output, registry=registry, tag=tag, profile=profile, format=format, namespace=namespace
    ):
        Console().print(str(path), soft_wrap=True)


@app.command("secrets")
def secrets_(
    namespace: Annotated[str, typer.Option(help="Namespace of the Secrets.")] = "stagewright",
    endpoint: Annotated[
        str, typer.Option(help="URL of the object store inside the cluster. Default: MinIO in the namespace.")
    ] = "",
    authority: Annotated[
        str, typer.Option(help="ConfigMap with the object store's private CA certificate, key cabundle.crt.")
    ] = "",
    show: Annotated[bool, typer.Option("--print", help="Print YAML for kubectl instead of creating the Secrets.")] = False,
) -> None:
    """Create Secrets with random credentials in a cluster. Existing Secrets are kept."""
    from stagewright.pipelines.cli.secrets import command

    command(namespace, endpoint=endpoint, authority=authority, show=show)


@app.command("list")
def list_(only_json: OnlyJson = False) -> None:
    """List all pipelines and components."""
    from stagewright.pipelines.description import describe

    kinds = {"pipelines": catalog.PIPELINES, "components": catalog.COMPONENTS}
    found = {kind: {name: describe(name).summary for name in names} for kind, names in kinds.items()}
    if only_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    console = Console()
    for kind, entries in found.items():
        console.print(f"[bold]{kind}[/bold]")
        width = max(map(len, entries)) + 2
        for name, summary in entries.items():
            console.print(f"  {name:<{width}}{summary}", soft_wrap=True)


@app.command("describe")
def describe_(name: Annotated[str, typer.Argument(help="Name of a pipeline or component.")]) -> None:
    """Show the inputs, outputs, images and steps of a pipeline or component."""
    from stagewright.pipelines.cli.describe_command import show

    show(Console(), name)


def _clean_up_when_ended() -> None:
    """Run `finally` blocks on SIGTERM and SIGHUP, as on Ctrl-C."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, end)


def _warm(arguments: list[str]) -> AbstractContextManager[object]:
    """While a command is read that runs steps as processes of this machine, a server imports what they need."""
    if arguments[:1] not in (["run"], ["demo"]) or {"-h", "--help", "docker", "--runner=docker"} & {*arguments}:
        return contextlib.nullcontext()
    from stagewright.pipelines.local.warm import warm_server

    return warm_server()


def main() -> None:
    """Run the command line; expected errors become one sentence on standard error and an exit code."""
    _clean_up_when_ended()
    try:
        with _warm(sys.argv[1:]):
            app()
    except (StagewrightError, OSError) as error:
        known = error if isinstance(error, StagewrightError) else disk_faults.explained(error)
        if known is None:
            raise
        sys.stderr.write(f"error: {known}\n")
        sys.exit(known.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "stagewright").startswith("stagewright"):
            raise
        # The core package compiles and submits; local runs need the extra.
        sys.stderr.write(f"error: '{error.name}' is not installed; install stagewright[local] to run, serve and predict\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)

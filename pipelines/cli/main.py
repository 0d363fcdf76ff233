"""The command `stagewright`: run pipelines here, compile and submit them, look after what serves on this machine."""

import json
import signal
import sys
from collections.abc import Mapping
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
    """Machine-learning pipelines that run the same on a laptop and on Kubeflow."""


def _run(name: str, arguments: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    from stagewright.pipelines.cli.run_command import run_command

    raise typer.Exit(run_command(name, arguments, **own))


_RUN_OPTIONS = {
    "only_json": (OnlyJson, False),
    "runner": (
        Annotated[str, typer.Option("--runner", help="process: on this machine; docker: each step in its image.")],
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
    """Train, publish and serve a churn model on real data, and check five of its answers."""
    from stagewright.pipelines.cli.demo import demo as play

    raise typer.Exit(play())


@app.command()
def up(
    object_store_port: Annotated[int | None, typer.Option(help="Port of the object store; 9000 or a free one.")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="Port of MLflow's web page; 5000 or a free one.")] = None,
) -> None:
    """Start the local services: an S3 object store, and MLflow with its web page."""
    from stagewright.pipelines.local import services

    given = {services.OBJECT_STORE: object_store_port, services.TRACKING: mlflow_port}
    for service in services.up(ports={name: port for name, port in given.items() if port}):
        Console().print(f"{service.name:<14}{service.endpoint}", soft_wrap=True)
    Console().print(f"keys          {services.home() / 'services' / 'credentials.json'}", soft_wrap=True)


@app.command()
def down() -> None:
    """End the local services, deployed models, and what killed runs have left; what they hold stays."""
    from stagewright.components.serving.targets import local as deployments
    from stagewright.pipelines.local import docker_steps, services

    models = [service.name for service in deployments.services() if deployments.stop(service.name)]
    left = [name for name in deployments.end_abandoned() if name not in models]
    ended = [*models, *left, *services.down(), *docker_steps.end_abandoned()]
    Console().print(f"ended {', '.join(ended)}" if ended else "nothing was running")


@app.command()
def status() -> None:
    """Show the local services and the models that are deployed here."""
    from stagewright.pipelines.cli.status import show

    show(Console())


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="Name of a model that is deployed here, or anywhere with --endpoint.")],
    data: Annotated[str, typer.Option(help="Rows to predict: a file in any format that training reads.")],
    endpoint: Annotated[str | None, typer.Option(help="Address of the server, if it is not on this machine.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file: .csv, .jsonl or .parquet.")] = None,
    identifier: Annotated[
        str,
        typer.Option("--id", help="Column to write beside each answer; auto: one with a value of its own in each row; none."),
    ] = "auto",
    inputs: Annotated[bool, typer.Option("--inputs", help="Write the columns that the model takes, too.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write the probability of every class.")] = False,
    decimal: Annotated[str, typer.Option(help="Decimal sign of text files, . or ,; told from the values if auto.")] = "auto",
    thousands: Annotated[str, typer.Option(help="Sign between thousands: a comma, a point, a blank, an apostrophe.")] = "auto",
    missing: Annotated[list[str] | None, typer.Option(help="A text that means a missing value; may be repeated.")] = None,
    date_format: Annotated[str, typer.Option(help="How text files write dates, such as %d.%m.%Y.")] = "auto",
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
    model: Annotated[str, typer.Argument(help="A model folder, an s3:// address, or the name of a registered model.")],
    name: Annotated[str | None, typer.Option(help="Name to serve it under.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a model in the foreground, over KServe's protocols, until Ctrl-C."""
    from stagewright.pipelines.cli.serve import serve as listen

    listen(model, name=name, port=port, host=host)


@app.command("compile")
def compile_(
    pipelines: Annotated[list[str] | None, typer.Argument(help="Pipelines; all of them if none is given.")] = None,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("compiled"),
    registry: Annotated[str, typer.Option(help="Registry that holds the images.")] = "",
    tag: Annotated[str, typer.Option(help="Tag of the images; this version if not given.")] = "",
    profile: Annotated[str, typer.Option(help="Cluster settings: a profile's name or a YAML file.")] = "default",
    format: Annotated[str, typer.Option(help="spec for KFP, kubernetes for objects to apply.")] = "spec",  # noqa: A002
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
    namespace: Annotated[str, typer.Option(help="Namespace that receives them.")] = "stagewright",
    endpoint: Annotated[str, typer.Option(help="Object store as pods see it; MinIO of that namespace if not given.")] = "",
    authority: Annotated[str, typer.Option(help="ConfigMap with the store's private authority, key cabundle.crt.")] = "",
    show: Annotated[bool, typer.Option("--print", help="Print YAML for kubectl instead of talking to a cluster.")] = False,
) -> None:
    """Make random credentials and put them into a cluster as Secrets; those that exist are left."""
    from stagewright.pipelines.cli.secrets import command

    command(namespace, endpoint=endpoint, authority=authority, show=show)


@app.command("list")
def list_(only_json: OnlyJson = False) -> None:
    """List pipelines and components with what each does."""
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
def describe_(name: Annotated[str, typer.Argument(help="A pipeline or a component.")]) -> None:
    """Show a pipeline's or a component's inputs, outputs, image and steps."""
    from stagewright.pipelines.cli.describe_command import show

    show(Console(), name)


def _clean_up_when_ended() -> None:
    """Let a signal that ends this program pass through its `finally` blocks, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, end)


def main() -> None:
    """Run the command line; what a user can mend is one sentence on standard error and an exit code."""
    _clean_up_when_ended()
    try:
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
        # The core compiles and submits; what runs on this machine needs the extra.
        sys.stderr.write(f"error: '{error.name}' is not installed here; install stagewright[local] to run, serve and predict\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)

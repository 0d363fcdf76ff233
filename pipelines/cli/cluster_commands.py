"""The commands that talk to Kubeflow Pipelines: submit, follow, schedule."""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from stagewright.pipelines.cli import options

if TYPE_CHECKING:
    from stagewright.pipelines.kubeflow.connection import Connection
    from stagewright.pipelines.kubeflow.schedule import Schedule
    from stagewright.pipelines.kubeflow.upload import Build


Place = tuple["Connection", str | None]
OnlyJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Wanted = Annotated[str, typer.Argument(help="Name or id of the schedule.")]
RunId = Annotated[str, typer.Argument(help="Run id, shown by submit and on the dashboard.")]
Follow = Annotated[
    bool | None,
    typer.Option("--follow/--no-follow", help="Follow the run to its end and show each step. Default: only on a terminal."),
]
Checks = Annotated[
    bool,
    typer.Option(
        "--checks/--no-checks", help="Before submitting, check that the kubeconfig's cluster has everything the run needs."
    ),
]
Cron = Annotated[
    str, typer.Option(help="Cron expression: minute hour day month weekday, in the installation's time zone (UTC).")
]


def _text(flag: str, description: str, variable: str | None = None) -> Any:
    return Annotated[str | None, typer.Option(flag, help=description, envvar=variable)]


_CONNECTION: options.OwnOptions = {
    "host": (_text("--host", "URL of the Kubeflow Pipelines API.", "KFP_HOST"), None),
    "run_namespace": (_text("--kubeflow-namespace", "Your namespace in a multi-user Kubeflow."), None),
    "token": (_text("--token", "Bearer token.", "KFP_TOKEN"), None),
    "cookie": (_text("--cookie", "Session cookie of the dashboard.", "KFP_COOKIE"), None),
    "service_account_token": (
        _text("--service-account-token", "File with a service-account token for Kubeflow Pipelines."),
        None,
    ),
    "kube_context": (_text("--kube-context", "Connect through this kubeconfig context instead of a host."), None),
    "certificate": (_text("--certificate", "CA certificate file to verify the host."), None),
}
_RUN: options.OwnOptions = {
    "experiment": (_text("--experiment", "Experiment for the run."), "Default"),
    "service_account": (_text("--service-account", "Kubernetes service account of the steps."), None),
    "pipeline_root": (_text("--pipeline-root", "Storage location for artifacts. Default: the installation's."), None),
    "profile": (_text("--profile", "Cluster settings: profile name or YAML file."), "default"),
    "registry": (_text("--registry", "Image registry."), ""),
    "tag": (_text("--tag", "Image tag. Default: this version."), ""),
}
_SUBMIT: options.OwnOptions = {
    **_CONNECTION,
    **_RUN,
    "run_name": (_text("--run-name", "Name of the run."), None),
    "checks": (Checks, True),
    "follow": (Follow, None),
    "only_json": (OnlyJson, False),
}
_SCHEDULE: options.OwnOptions = {
    "cron": (Cron, ...),
    "schedule_name": (_text("--schedule-name", "Name of the schedule. Default: the pipeline's name."), None),
    "max_concurrency": (Annotated[int, typer.Option(help="Maximum concurrent runs, 1 to 10.")], 1),
    "catch_up": (Annotated[bool, typer.Option(help="Also start the runs missed while the schedule was paused.")], False),
    **_CONNECTION,
    **_RUN,
}

schedule = typer.Typer(no_args_is_help=True, help="Manage scheduled runs of a pipeline on a cluster.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(_group(_submit, _SUBMIT), name="submit", help="Run a pipeline on a cluster.")
    app.command("follow")(_follow)
    schedule.add_typer(_group(_create, _SCHEDULE), name="create", help="Create a schedule for a pipeline.")
    app.add_typer(schedule, name="schedule")


def _group(action: options.Action, own: options.OwnOptions) -> typer.Typer:
    return typer.Typer(cls=options.pipeline_group(action, own), no_args_is_help=True)


def _submit(name: str, arguments: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    from stagewright.pipelines import checks
    from stagewright.pipelines.cli.submit_command import submitted_command
    from stagewright.pipelines.kubeflow.submit import submit

    checks.check(name, arguments, remote=True)
    given = dict(own)
    watch, only_json = given.pop("follow"), given.pop("only_json")
    wanted = sys.stdout.isatty() if watch is None else watch
    raise typer.Exit(submitted_command(submit(name, arguments, **given), name, follow=wanted, only_json=only_json))


def _create(name: str, arguments: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    from stagewright.pipelines import checks
    from stagewright.pipelines.kubeflow.schedule import create

    checks.check(name, arguments, remote=True)
    made = create(
        name, arguments, _connection(own), cron=own["cron"], name=own["schedule_name"], experiment=own["experiment"],
        run_namespace=own["run_namespace"], settings=_build(own), max_concurrency=own["max_concurrency"],
        catch_up=own["catch_up"], pipeline_root=own["pipeline_root"], service_account=own["service_account"],
    )  # fmt: skip
    Console().print(
        f"scheduled '{made.name}' ({made.cron}), id {made.schedule_id}; first run {_moment(made)}, unless the installation's "
        "time zone is not UTC",
        soft_wrap=True,
    )


def connected(action: Callable[..., None]) -> Callable[..., None]:
    """Add the connection options to a command; it receives the connection and the namespace as its first parameter."""

    def call(**given: Any) -> None:
        own = {name: given.pop(name) for name in _CONNECTION}
        action((_connection(own), own["run_namespace"]), **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    mine = [one.replace(kind=keyword) for one in list(inspect.signature(action).parameters.values())[1:]]
    theirs = [
        inspect.Parameter(name, keyword, annotation=annotation, default=default)
        for name, (annotation, default) in _CONNECTION.items()
    ]
    call.__signature__ = inspect.Signature(mine + theirs)  # type: ignore[attr-defined]
    call.__name__, call.__doc__ = action.__name__, action.__doc__
    return call


@connected
def _follow(at: Place, run_id: RunId, only_json: OnlyJson = False) -> None:
    """Follow a run on a cluster to its end."""
    from stagewright.pipelines.cli.submit_command import follow_command

    raise typer.Exit(follow_command(at[0], run_id, only_json=only_json))


@schedule.command("list")
@connected
def _list(at: Place, only_json: OnlyJson = False) -> None:
    """List the schedules and their next runs."""
    from stagewright.pipelines.kubeflow.client import reach
    from stagewright.pipelines.kubeflow.schedule import schedules

    found = schedules(reach(*at))
    if only_json:
        sys.stdout.write(json.dumps({"schedules": [one.to_dict() for one in found]}) + "\n")
    elif found:
        _show(Console(), found)
    else:
        Console().print("no schedules")


@schedule.command("pause")
@connected
def _pause(at: Place, name: Wanted) -> None:
    """Pause a schedule. No new runs start until it is resumed."""
    from stagewright.pipelines.kubeflow.client import reach
    from stagewright.pipelines.kubeflow.schedule import pause

    Console().print(f"paused '{pause(reach(*at), name).name}'; a current run continues", soft_wrap=True)


@schedule.command("resume")
@connected
def _resume(at: Place, name: Wanted) -> None:
    """Resume a paused schedule."""
    from stagewright.pipelines.kubeflow.client import reach
    from stagewright.pipelines.kubeflow.schedule import resume

    Console().print(f"resumed '{resume(reach(*at), name).name}'", soft_wrap=True)


@schedule.command("remove")
@connected
def _remove(at: Place, name: Wanted) -> None:
    """Delete a schedule. Its runs are kept."""
    from stagewright.pipelines.kubeflow.client import reach
    from stagewright.pipelines.kubeflow.schedule import remove

    Console().print(f"removed '{remove(reach(*at), name).name}'; its runs are kept", soft_wrap=True)


def _connection(own: Mapping[str, Any]) -> "Connection":
    from stagewright.pipelines.kubeflow.connection import Connection

    return Connection(
        own["host"], own["token"], own["cookie"], own["service_account_token"], own["kube_context"],
        certificate=own["certificate"],
    )  # fmt: skip


def _build(own: Mapping[str, Any]) -> "Build":
    from stagewright.pipelines.kubeflow.upload import Build

    return Build(own["profile"], own["registry"], own["tag"])


def _show(console: Console, found: list["Schedule"]) -> None:
    """Print one line per schedule without wrapping, so that ids can be copied."""
    names, crons = max(len(one.name) for one in found), max(len(one.cron) for one in found)
    for one in found:
        state = f"next {_moment(one)}" if one.next_run else "active" if one.active else "paused"
        line = Text(f"{one.name:<{names}}  {one.cron:<{crons}}  ")
        line.append(f"{state:<25}", style="green" if one.active else "yellow").append(f"  {one.schedule_id}", style="dim")
        console.print(line, soft_wrap=True)


def _moment(one: "Schedule") -> str:
    return f"{one.next_run:%Y-%m-%d %H:%M} UTC" if one.next_run else "unknown"

"""`stagewright submit` and `stagewright follow`: start a run on a cluster and show its steps."""

import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.cli import view
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.follow import RemoteRun, follow
from stagewright.pipelines.kubeflow.submit import Submitted
from stagewright.pipelines.watch import SUCCEEDED

INTERRUPTED = 130


def submitted_command(started: Submitted, pipeline: str, *, follow: bool, only_json: bool) -> int:
    """Report a started run and follow it if requested; returns the exit code."""
    console = _console(only_json)
    if started.unchecked:
        _noticed_on(console)(started.unchecked)
    console.print(started.message, soft_wrap=True, highlight=False)
    if started.version.new:
        console.print(f"uploaded version {started.version.name}", soft_wrap=True, highlight=False)
    about = {"pipeline": pipeline, "version": started.version.name}
    if follow:
        return _follow(started.kubeflow, started.run_id, about, only_json=only_json)
    if only_json:
        _write({**about, **report(RemoteRun(started.run_id, started.name, started.url))})
    else:
        console.print(
            f"to follow the run: {again(started.kubeflow.connection, started.run_id)}", soft_wrap=True, highlight=False
        )
    return 0


def follow_command(connection: Connection, run_id: str, *, only_json: bool) -> int:
    """Follow an existing run; returns the exit code."""
    resolved = connections.resolved(connection)
    # A run is found by its id, so no namespace is needed.
    return _follow(Kubeflow(resolved, None), run_id, {}, only_json=only_json)


def _follow(kubeflow: Kubeflow, run_id: str, about: dict[str, Any], *, only_json: bool) -> int:
    console = _console(only_json)
    run = RemoteRun(run_id)
    later = again(kubeflow.connection, run_id)
    try:
        with view.watching(console) as watch:
            follow(kubeflow, run_id, watch=watch, notice=_noticed_on(console), into=run)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nstopped following; the run continues. To follow it again: {later}\n")
        return INTERRUPTED
    except (InputError, ServiceUnavailable) as error:
        if not run.name:
            raise  # the run was never found: the message is complete
        raise type(error)(f"{error}. The run continues; to follow it again: {later}") from None
    if only_json:
        _write({**about, **report(run)})
    else:
        _summary(console, run)
    return 0 if run.status == SUCCEEDED else 1


def report(run: RemoteRun) -> dict[str, Any]:
    """A run as the object that `--json` prints."""
    document: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "url": run.url,
        "status": run.status,
        "seconds": round(run.seconds, 3),
        "steps": [{"name": step.name, "status": step.status, "seconds": round(step.seconds, 3)} for step in run.steps],
        "notices": [{"step": step.name, "message": notice} for step in run.steps for notice in step.notices],
    }
    failed = run.failed_step
    if failed or run.error:
        document["error"] = {"step": failed.name if failed else None, "message": failed.error if failed else run.error}
    return document


def again(connection: Connection, run_id: str) -> str:
    """The command that follows a run; tokens and cookies are omitted, set KFP_TOKEN or KFP_COOKIE."""
    given = {
        "--host": connection.host,
        "--kube-context": connection.kube_context,
        "--service-account-token": connection.token_file,
        "--certificate": connection.certificate,
    }
    words = ["stagewright", "follow", run_id]
    for option, value in given.items():
        words += [option, value] if value else []
    return shlex.join(words)


def _summary(console: Console, run: RemoteRun) -> None:
    good = run.status == SUCCEEDED
    console.print(
        Text(f"\n{run.name}: {run.status} after {run.seconds:.0f} s", style="bold green" if good else "bold red"),
        soft_wrap=True,
    )
    if run.error:
        console.print(Text(f"  {run.error}", style="red"), soft_wrap=True)
    if run.url:
        console.print(f"  {run.url}", soft_wrap=True, highlight=False)


def _console(only_json: bool) -> Console:
    return Console(file=sys.stderr, quiet=not sys.stderr.isatty()) if only_json else Console(file=sys.stdout)


def _noticed_on(console: Console) -> Callable[[str], None]:
    """Print connection messages: above the current step on a terminal, otherwise on standard error."""

    def notice(sentence: str) -> None:
        if console.is_terminal:
            console.print(Text(sentence, style="yellow"), soft_wrap=True)
        else:
            sys.stderr.write(f"{sentence}\n")

    return notice


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")

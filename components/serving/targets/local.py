"""The local target: the predictor as a background process, one for each model.

The running process loads a new version next to the old one and swaps them after the smoke test; until then, and if it fails, it
serves the old one. The port stays the same, and no request is refused. A process that cannot hot-swap (it runs in a container,
does not respond, or was started by another release or for another object store) is replaced by a process on another port.
Deployments are recorded in STAGEWRIGHT_HOME/deployments/<name>/.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stagewright.components.runtime import logs, processes
from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable, StagewrightError, did_you_mean
from stagewright.components.runtime.naming import model_name
from stagewright.components.serving import client
from stagewright.components.serving.targets import hot_swap
from stagewright.components.serving.targets.deployments import (  # fmt: skip
    STATE,
    Deployment,
    end_unsettled,
    entries,
    find_deployment,
    folder,
    locked,
    services,
    settle,
    unsettled,
    write_deployment,
)

__all__ = [
    "HOST",
    "STATE",
    "Deployment",
    "deploy",
    "end_abandoned",
    "find_deployment",
    "folder",
    "predictor_command",
    "services",
    "stop",
]

HOST = "127.0.0.1"
FIRST_PORT, PORTS_TRIED = 8080, 20
POLL_SECONDS = 0.1
STARTS = 5


def predictor_command(name: str, version: str, model_uri: str, port: int) -> Sequence[str]:
    """Command of this environment's predictor; it listens on this machine only and follows the deployment's entry."""
    return [
        sys.executable, "-m", "stagewright.components.predictor", "--model", f"{name}={hot_swap.place(model_uri)}",
        "--version", version, "--repository", str(entries(name)), "--host", HOST, "--port", str(port),
    ]  # fmt: skip


def deploy(
    *,
    name: str,
    version: str,
    model_uri: str,
    baseline: bytes | None = None,
    port: int | None = None,
    timeout: float = 60.0,
    command: Callable[[str, str, str, int], Sequence[str]] = predictor_command,
) -> Deployment:
    """Serve a version of a model in place of the current one.

    Args:
        model_uri: A published model (`s3://...`) or a folder.
        baseline: The model's `baseline.parquet`; without it only readiness is checked.
        port: Default: the port of an earlier, ended process, or 8080, or any free port.
        timeout: Seconds until the model must be ready.
        command: Builds the server's command from name, version, address and port.

    Raises:
        InputError: If the port is in use.
        GateFailed: If the model does not load or fails the smoke test; the previous version still serves.
    """
    model_name(name)
    with locked():
        end_unsettled()
        before = find_deployment(name)
        if before and before.alive and before.serves(version, model_uri) and port in {None, before.port}:
            _check(before, baseline, timeout)
            logs.event("deployment_unchanged", name=name, version=version, endpoint=before.endpoint)
            return before
        started = None
        if before and before.can_hot_swap and command is predictor_command and port in {None, before.port}:
            started = _hot_swap(before, version, model_uri, baseline, timeout)
        if started is None:
            started = _start_replacement(before, name, version, model_uri, baseline, port, timeout, command)
        if before and before.process != started.process:
            unsettled(name, started.process, before.process)
            write_deployment(started)
            processes.stop(before.process)
        else:
            write_deployment(started)
        settle(name)
    logs.event("deployed", name=name, version=version, endpoint=started.endpoint, pid=started.process.pid)
    return started


def end_abandoned() -> list[str]:
    """Stop predictors of deployments that were killed before they finished; returns the names of their models."""
    with locked():
        return end_unsettled()


def stop(name: str) -> bool:
    """Stop the process that serves a model; returns whether it was running.

    Raises:
        InputError: If the model was never deployed; lists the deployed ones.
    """
    with locked():
        deployment = find_deployment(name)
        if deployment is None:
            names = [known.name for known in services()]
            raise InputError(
                f"no model '{name}' is deployed here{did_you_mean(name, names)}; there are: {', '.join(names) or 'none'}"
            )
        stopped = processes.stop(deployment.process)
        (folder(name) / STATE).unlink(missing_ok=True)
    logs.event("deployment_stopped", name=name, was_running=stopped)
    return stopped


def _hot_swap(before: Deployment, version: str, model_uri: str, baseline: bytes | None, timeout: float) -> Deployment | None:
    """Hot-swap the running process to another version that passed the smoke test; None if the process cannot load it."""
    name, endpoint = before.name, before.endpoint
    gate = f"the deployment of model '{name}' {version}"
    following = Path(before.entries)
    hot_swap.write_entry(following, name, version, model_uri)
    try:
        hot_swap.stage(endpoint, name, timeout=timeout)
        try:
            if baseline is None:
                logs.event("smoke_test_skipped", name=name, reason="the model has no baseline")
            else:
                test = hot_swap.try_staged(endpoint, name, baseline)
                logs.event("smoke_test_passed", name=name, rows=test.rows, largest_difference=test.largest_difference)
            hot_swap.commit(endpoint, name, timeout=timeout)
        except BaseException:
            with contextlib.suppress(StagewrightError):
                hot_swap.discard(endpoint, name)
            raise
    except BaseException as error:
        hot_swap.write_entry(following, name, before.version, before.model_uri)
        if isinstance(error, ServiceUnavailable):
            logs.event("predictor_replaced", name=name, pid=before.process.pid, reason=str(error))
            return None
        if isinstance(error, StagewrightError):
            raise GateFailed(gate, [str(error)]) from error
        raise
    return replace(before, version=version, model_uri=model_uri, started=_now())


def _start_replacement(
    before: Deployment | None,
    name: str,
    version: str,
    model_uri: str,
    baseline: bytes | None,
    port: int | None,
    timeout: float,
    command: Callable[[str, str, str, int], Sequence[str]],
) -> Deployment:
    """Start a new process that passed the smoke test."""
    tries = 1 if port else STARTS
    while True:
        free = _port(before, port)
        started = _start(name, version, model_uri, free, command)
        try:
            _check(started, baseline, timeout)
        except BaseException as error:
            processes.stop(started.process)
            settle(name)
            if before and before.entries:
                hot_swap.write_entry(Path(before.entries), name, before.version, before.model_uri)
            tries -= 1
            # Another program may have taken the port between the check and the start.
            if not (tries and isinstance(error, GateFailed) and processes.free_port(free, host=HOST) != free):
                raise
        else:
            return started


def _start(
    name: str, version: str, model_uri: str, port: int, command: Callable[[str, str, str, int], Sequence[str]]
) -> Deployment:
    log = folder(name) / f"predictor-{port}.log"
    following = ""
    if command is predictor_command:
        following = str(entries(name))
        hot_swap.write_entry(Path(following), name, version, model_uri)
    process = processes.start(command(name, version, model_uri, port), log=log)
    unsettled(name, process)
    return Deployment(
        name,
        version,
        model_uri,
        f"http://{HOST}:{port}",
        port,
        str(log),
        _now(),
        process,
        following,
        hot_swap.environment_fingerprint(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check(deployment: Deployment, baseline: bytes | None, timeout: float) -> None:
    """Wait until the model is ready, and run the smoke test."""
    gate = f"the deployment of model '{deployment.name}' {deployment.version}"
    _wait(deployment, gate, timeout)
    if baseline is None:
        logs.event("smoke_test_skipped", name=deployment.name, reason="the model has no baseline")
        return
    try:
        test = client.smoke_test(deployment.endpoint, deployment.name, baseline)
    except StagewrightError as error:
        raise GateFailed(gate, [str(error), *_last_words(deployment)]) from error
    logs.event("smoke_test_passed", name=deployment.name, rows=test.rows, largest_difference=test.largest_difference)


def _wait(deployment: Deployment, gate: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        if not deployment.alive:
            raise GateFailed(gate, ["the predictor ended", *_last_words(deployment)])
        try:
            client.wait_until_ready(deployment.endpoint, deployment.name, POLL_SECONDS, poll=POLL_SECONDS / 2)
        except ServiceUnavailable as error:
            if time.monotonic() > deadline:
                raise GateFailed(gate, [f"not ready after {timeout:g} seconds", *_last_words(deployment)]) from error
        else:
            return


def _last_words(deployment: Deployment) -> list[str]:
    return [f"its log ends with: {processes.last_line(Path(deployment.log))} ({deployment.log})"]


def _port(before: Deployment | None, wanted: int | None) -> int:
    if wanted is not None:
        return processes.require_port(wanted, purpose="the predictor", host=HOST)
    earlier = [before.port] if before and not before.alive else []
    for port in (*earlier, *range(FIRST_PORT, FIRST_PORT + PORTS_TRIED)):
        if processes.free_port(port, host=HOST) == port:
            return port
    return processes.free_port(host=HOST)

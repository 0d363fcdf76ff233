"""The local target: the predictor as a background process, one for each model.

A new version starts beside the old one and takes its place only after it has answered as the model does; until then, and if it
fails, the old one goes on serving. What runs is recorded under STAGEWRIGHT_HOME/deployments/<name>/.
"""

import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from stagewright.components.runtime import logs, processes
from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable, StagewrightError, did_you_mean
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.processes import Process
from stagewright.components.runtime.settings import LocalSettings, load
from stagewright.components.runtime.storage import replacing
from stagewright.components.serving import client

HOST = "127.0.0.1"
FIRST_PORT, PORTS_TRIED = 8080, 20
POLL_SECONDS = 0.1
STATE = "state.json"
STARTS = 5


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model that a local process serves."""

    name: str
    version: str
    model_uri: str
    endpoint: str
    port: int
    log: str
    started: str
    process: Process

    @property
    def alive(self) -> bool:
        return self.process.alive

    def serves(self, version: str, model_uri: str) -> bool:
        return (self.version, self.model_uri.rstrip("/")) == (version, model_uri.rstrip("/"))


def predictor_command(name: str, version: str, model_uri: str, port: int) -> Sequence[str]:
    """The predictor of this environment; it listens on this machine only."""
    return [
        sys.executable, "-m", "stagewright.components.serving.predictor", "--model", model_uri, "--name", name,
        "--version", version, "--host", HOST, "--port", str(port),
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
    """Serve a version of a model, in place of the one that is served now.

    Args:
        model_uri: A published model (`s3://...`) or a folder.
        baseline: The model's `baseline.parquet`; without it only readiness is checked.
        port: By default that of an earlier process that has ended, or 8080, or any that is free.
        timeout: Seconds until the model must be ready.
        command: Makes the command that serves, from name, version, address and port.

    Raises:
        InputError: If the port is taken.
        GateFailed: If the model does not load or answers something else than it should; the one before still serves.
    """
    model_name(name)
    with _locked():
        before = find(name)
        if before and before.alive and before.serves(version, model_uri) and port in {None, before.port}:
            _check(before, baseline, timeout)
            logs.event("deployment_unchanged", name=name, version=version, endpoint=before.endpoint)
            return before
        tries = 1 if port else STARTS
        while True:
            free = _port(before, port)
            started = _start(name, version, model_uri, free, command(name, version, model_uri, free))
            try:
                _check(started, baseline, timeout)
                break
            except BaseException as error:
                processes.stop(started.process)
                tries -= 1
                # Something else may have taken the port between the look and the start.
                if not (tries and isinstance(error, GateFailed) and processes.free_port(free, host=HOST) != free):
                    raise
        _write(started)
        if before:
            processes.stop(before.process)
    logs.event("deployed", name=name, version=version, endpoint=started.endpoint, pid=started.process.pid)
    return started


def stop(name: str) -> bool:
    """End the process that serves a model; whether there was one.

    Raises:
        InputError: If nothing was ever deployed under this name, with what was.
    """
    with _locked():
        deployment = find(name)
        if deployment is None:
            names = [known.name for known in services()]
            raise InputError(
                f"no model '{name}' is deployed here{did_you_mean(name, names)}; there are: {', '.join(names) or 'none'}"
            )
        stopped = processes.stop(deployment.process)
        (_folder(name) / STATE).unlink(missing_ok=True)
    logs.event("deployment_stopped", name=name, was_running=stopped)
    return stopped


def services() -> list[Deployment]:
    """Every deployment that is recorded, alive or not, by name."""
    known = [find(folder.name) for folder in sorted(_root().glob("*")) if folder.is_dir()]
    return [deployment for deployment in known if deployment]


def find(name: str) -> Deployment | None:
    """What is recorded of a model's deployment, or None."""
    try:
        document = json.loads((_folder(name) / STATE).read_text())
        return Deployment(**document | {"process": Process(**document["process"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start(name: str, version: str, model_uri: str, port: int, command: Sequence[str]) -> Deployment:
    log = _folder(name) / f"predictor-{port}.log"
    process = processes.start(command, log=log)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Deployment(name, version, model_uri, f"http://{HOST}:{port}", port, str(log), now, process)


def _check(deployment: Deployment, baseline: bytes | None, timeout: float) -> None:
    """Wait until the model is ready and compare its answers with its own."""
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


def _write(deployment: Deployment) -> None:
    with replacing(_folder(deployment.name) / STATE) as file:
        file.write((json.dumps(asdict(deployment), indent=2) + "\n").encode())


def _root() -> Path:
    return load(LocalSettings, "local deployments need a folder").home.expanduser().absolute() / "deployments"


def _folder(name: str) -> Path:
    return _root() / name


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One deployment at a time, so that no two choose the same port; the lock goes with the process that holds it."""
    folder = _root()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

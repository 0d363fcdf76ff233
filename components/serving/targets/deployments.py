"""Deployments on this machine: a record for each model, and a lock that serializes deployments."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from stagewright.components.runtime import processes
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.folders import private_folder
from stagewright.components.runtime.processes import Process
from stagewright.components.runtime.settings import LocalSettings, load_settings
from stagewright.components.runtime.storage import replacing
from stagewright.components.serving.targets import hot_swap

STATE = "state.json"
UNSETTLED = "unsettled.json"  # processes of a deployment in progress; those that the state does not name must be stopped


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model that a local process serves.

    Attributes:
        entries: Folder whose entry the process follows; empty if it serves only what it was started with.
        environment_fingerprint: Environment that started the process; see `hot_swap.environment_fingerprint`.
    """

    name: str
    version: str
    model_uri: str
    endpoint: str
    port: int
    log: str
    started: str
    process: Process
    entries: str = ""
    environment_fingerprint: str = ""

    @property
    def alive(self) -> bool:
        return self.process.alive

    def serves(self, version: str, model_uri: str) -> bool:
        return (self.version, self.model_uri.rstrip("/")) == (version, model_uri.rstrip("/"))

    @property
    def can_hot_swap(self) -> bool:
        """Whether the process can load another version."""
        return self.alive and bool(self.entries) and self.environment_fingerprint == hot_swap.environment_fingerprint()


def services() -> list[Deployment]:
    """All recorded deployments, running or not, by name."""
    known = [find_deployment(path.name) for path in sorted(_root().glob("*")) if path.is_dir()]
    return [deployment for deployment in known if deployment]


def find_deployment(name: str) -> Deployment | None:
    """The recorded deployment of a model, or None."""
    try:
        document = read_json((folder(name) / STATE).read_text())
        kept = {field.name: document[field.name] for field in fields(Deployment) if field.name in document}
        return Deployment(**kept | {"process": Process(**document["process"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_deployment(deployment: Deployment) -> None:
    """Record a deployment in place of the previous one."""
    with replacing(folder(deployment.name) / STATE) as file:
        file.write((json.dumps(asdict(deployment), indent=2) + "\n").encode())


def unsettled(name: str, *running: Process) -> None:
    """Record processes before one of them is chosen, so that a killed deployment leaves no unknown process."""
    with replacing(folder(name) / UNSETTLED) as file:
        file.write(json.dumps([asdict(process) for process in running]).encode())


def settle(name: str) -> None:
    """Remove the record of a finished deployment."""
    (folder(name) / UNSETTLED).unlink(missing_ok=True)


def end_unsettled() -> list[str]:
    """Stop processes of killed deployments; returns their models. Requires the lock."""
    ended = []
    for record in sorted(_root().glob(f"*/{UNSETTLED}")):
        name = record.parent.name
        known = find_deployment(name)
        try:
            left = [Process(**one) for one in read_json(record.read_text())]
        except (OSError, ValueError, TypeError):
            left = []
        if any([processes.stop(process) for process in left if known is None or process != known.process]):  # noqa: C419
            ended.append(name)
        settle(name)
    return ended


def _root() -> Path:
    return load_settings(LocalSettings, "local deployments need a folder").home.expanduser().absolute() / "deployments"


def folder(name: str) -> Path:
    """Folder of a model's deployment: its record and logs."""
    return _root() / name


def entries(name: str) -> Path:
    """Folder of the entry that the model's predictor follows."""
    return folder(name) / "models"


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Allow one deployment at a time, so that no two choose the same port; the lock ends with its process."""
    with (private_folder(_root()) / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

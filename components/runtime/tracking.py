"""Runs in MLflow: a client that fails fast with one sentence, and a run that closes itself with the right status."""

import fcntl
import logging
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stagewright.components.runtime import settings
from stagewright.components.runtime import tracking_limits as limits
from stagewright.components.runtime.errors import InputError, ServiceUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_TIMEOUT_SECONDS = 2.0
PROBE_PAUSES_SECONDS = (0.5, 1.5)
BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # the most that one request to MLflow may hold
BATCH_BYTES = 500_000  # as JSON; MLflow refuses a million

# What a step needs of MLflow's client: give up in seconds, write nothing to the terminal, call nobody else.
CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def client(purpose: str) -> "MlflowClient":
    """A client of the tracking server (or database) that MLFLOW_TRACKING_URI names, known to answer.

    Args:
        purpose: What it is needed for, as the end of a sentence: "MLflow records the training run".

    Raises:
        MissingSetting: If MLFLOW_TRACKING_URI is not set.
        ServiceUnavailable: If nothing answers there; a dead server is reported within ten seconds.
    """
    uri = settings.load_settings(settings.TrackingSettings, purpose).tracking_uri
    _probe(uri, purpose)
    _configure_client()
    from mlflow import MlflowClient

    try:
        with mlflow_errors(purpose), _schema_lock(uri):
            return MlflowClient(tracking_uri=uri)
    except ModuleNotFoundError as error:
        raise InputError(f"MLflow at {_shown(uri)} needs package '{error.name}', which is not installed; {purpose}") from None
    except OSError as error:
        raise ServiceUnavailable(
            f"MLflow's database at {_shown(uri)} cannot be opened ({error.strerror}); {purpose}"
        ) from error


def check(purpose: str) -> None:
    """See that what MLFLOW_TRACKING_URI names is there, without MLflow's slow import.

    Raises:
        MissingSetting: If it is not set.
        ServiceUnavailable: If nothing answers there.
    """
    _probe(settings.load_settings(settings.TrackingSettings, purpose).tracking_uri, purpose)


@contextmanager
def mlflow_errors(purpose: str) -> Iterator[None]:
    """Turn what MLflow's client raises inside the block, whatever went wrong there, into one sentence.

    Raises:
        ServiceUnavailable: With the first line of MLflow's own message.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().splitlines()[0][:256]
        raise ServiceUnavailable(f"MLflow at {_shown(_uri())} refused: {reason}; {purpose}") from error


class Run:
    """A run in progress; everything logged through it ends in one place."""

    def __init__(self, mlflow_client: "MlflowClient", run_id: str, experiment_id: str, purpose: str) -> None:
        self.client, self.run_id, self.experiment_id, self._purpose = mlflow_client, run_id, experiment_id, purpose

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log values of one step: an epoch, an iteration, or 0 for the whole."""
        self.log_history([(step, metrics)])

    def log_history(self, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log many steps with few requests."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(limits.key(name), float(value), now, step) for step, values in history for name, value in values.items()
        ]
        self._batches("metrics", metrics)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters; one that is too long for MLflow is shortened, and an artifact holds it whole."""
        from mlflow.entities import Param

        fitted = limits.fit(parameters, limits.PARAMETER, folder=f"{limits.WHOLE}/params")
        self.log_texts(fitted.whole)
        self._batches("params", [Param(*entry) for entry in fitted.values.items()])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; one that is too long for MLflow is shortened, and an artifact holds it whole."""
        from mlflow.entities import RunTag

        fitted = limits.fit(tags, limits.TAG, folder=f"{limits.WHOLE}/tags")
        self.log_texts(fitted.whole)
        self._batches("tags", [RunTag(*entry) for entry in fitted.values.items()])

    def log_texts(self, texts: Mapping[str, str]) -> None:
        """Keep texts as artifacts, by path."""
        with mlflow_errors(self._purpose):
            for path, text in texts.items():
                self.client.log_text(self.run_id, limits.storable(text), path)

    def log_artifacts(self, folder: str | Path, path: str | None = None) -> None:
        """Copy a folder's content to the run's artifacts, below `path`."""
        with mlflow_errors(self._purpose):
            self.client.log_artifacts(self.run_id, str(folder), path)

    def log_dataset(self, name: str, *, sha256: str, context: str) -> None:
        """Record a table as an input of the run, by its hash.

        Args:
            context: What it was used for: "training", "validation".
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow keeps 36 characters of a digest; the whole hash stands in the source.
        dataset = Dataset(
            limits.name(name, limits.DATASET), digest=sha256[:36], source_type="stagewright", source=f'{{"sha256": "{sha256}"}}'
        )
        with mlflow_errors(self._purpose):
            self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def _batches(self, kind: str, entries: list[Any]) -> None:
        with mlflow_errors(self._purpose):
            for part in _parts(entries, BATCH[kind]):
                batch: dict[str, Any] = {kind: part}
                self.client.log_batch(self.run_id, **batch)


def _parts(entries: list[Any], longest: int) -> Iterator[list[Any]]:
    """The entries in requests that MLflow takes."""
    part: list[Any] = []
    size = 0
    for entry in entries:
        # Six bytes are the most that a character takes in JSON.
        needed = 100 + 6 * (len(entry.key) + len(str(entry.value)))
        if part and (len(part) == longest or size + needed > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += needed
    if part:
        yield part


@contextmanager
def run(
    experiment: str,
    *,
    run_name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    purpose: str = "MLflow records the run",
) -> Iterator[Run]:
    """Record a block of work as a run: FINISHED when the block ends, FAILED when it raises, KILLED when interrupted.

    Args:
        experiment: Name of the experiment; made on first use.
        run_name: Shown for the run; MLflow makes one up if there is none. A tag holds whole what is too long for a name.
    """
    mlflow_client = client(purpose)
    names = {"experiment": limits.name(experiment, limits.EXPERIMENT), "run_name": limits.name(run_name or "", limits.RUN_NAME)}
    given = {"experiment": experiment, "run_name": run_name or ""}
    tags = {**{f"stagewright.{kind}": given[kind] for kind in names if names[kind] != given[kind]}, **(tags or {})}
    with mlflow_errors(purpose):
        experiment_id = _experiment(mlflow_client, names["experiment"])
        started = mlflow_client.create_run(experiment_id, run_name=names["run_name"] or None).info.run_id
    current = Run(mlflow_client, started, experiment_id, purpose)
    try:
        current.log_parameters(parameters or {})
        current.set_tags(tags)
        yield current
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        with suppress(Exception):  # what went wrong first is what the user must see
            mlflow_client.set_terminated(started, status)
        raise
    with mlflow_errors(purpose):
        mlflow_client.set_terminated(started, "FINISHED")


def _experiment(mlflow_client: "MlflowClient", name: str) -> str:
    """The id of an experiment, made if there is none; another step may make it at the same moment."""
    from mlflow.exceptions import MlflowException

    found = mlflow_client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(mlflow_client.create_experiment(name, artifact_location=_artifact_location(_uri(), name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = mlflow_client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        raise InputError(f"experiment '{name}' is deleted in MLflow; restore it there or choose another name")
    return str(found.experiment_id)


def _artifact_location(uri: str, experiment: str) -> str | None:
    """Where artifacts go when there is no server to say: beside the database, not in whatever folder a step runs in."""
    database = _sqlite_file(uri)
    return None if database is None else (database.parent / "artifacts" / re.sub(r"[^\w.-]+", "_", experiment)).as_uri()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file closes
        yield


def _schema_lock(uri: str) -> Any:
    """Let one process at a time open a SQLite database: the first makes its tables, which MLflow does not guard itself."""
    database = _sqlite_file(uri)
    if database is None:
        return nullcontext()
    database.parent.mkdir(parents=True, exist_ok=True)
    return _locked(database.with_name(database.name + ".lock"))


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    return None if name in {None, "", ":memory:"} else Path(str(name)).absolute()


def _configure_client() -> None:
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for chatter in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(chatter).setLevel(logging.ERROR)
    import mlflow  # noqa: F401  configures its own logger when imported, so the level is set again below

    logging.getLogger("mlflow").setLevel(logging.ERROR)


def _probe(uri: str, purpose: str) -> None:
    """Ask the server for anything; whatever it answers, it is there. MLflow's own retries would take minutes to say no."""
    last: Exception | None = None
    for pause in (*PROBE_PAUSES_SECONDS, 0.0):
        try:
            _knock(uri)
        except (OSError, ValueError) as error:
            last = error
            time.sleep(pause)
        else:
            return
    reason = getattr(last, "reason", None) or last
    raise ServiceUnavailable(f"MLflow does not answer at {_shown(uri)} ({reason}); {purpose}") from last


def _knock(uri: str) -> None:
    """Reach a web server, or a database server that stands at a port; a file has nobody to reach."""
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{_shown(uri).rstrip('/')}/health", timeout=PROBE_TIMEOUT_SECONDS).close()  # noqa: S310
    elif parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=PROBE_TIMEOUT_SECONDS).close()


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def _shown(uri: str) -> str:
    """An address without the user name and password that may stand in it."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

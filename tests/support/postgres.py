"""A real PostgreSQL for tests: Debian's programs, started as a user without rights, gone with the test."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stagewright.components.runtime.processes import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian puts them
USER = "mlflow"


def missing() -> str:
    """Why PostgreSQL cannot be started here, or nothing."""
    if not PROGRAMS:
        return "PostgreSQL is not installed: it comes with Debian's postgresql"
    if not importlib.util.find_spec("psycopg2"):
        return "PostgreSQL's driver is not installed: it comes with the extra 'mlflow'"
    return ""


@dataclass(frozen=True)
class PostgreSQL:
    """A running server that asks for a password.

    Attributes:
        folder: Its own folder, which it reads and writes.
    """

    port: int
    password: str
    folder: Path

    def make(self, database: str) -> str:
        """Make an empty database; the address for SQLAlchemy."""
        command = [f"{PROGRAMS[-1]}/createdb", "--host=127.0.0.1", f"--port={self.port}", "-U", USER, database]
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": self.password})
        return f"postgresql+psycopg2://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def running() -> Iterator[PostgreSQL]:
    """A server with nothing in it, for as long as the block lasts."""
    folder, server = Path(tempfile.mkdtemp()), None
    found = PostgreSQL(free_port(55432), secrets.token_urlsafe(24), folder)
    folder.chmod(0o777)  # the database's user writes here
    (folder / "password").write_text(found.password)
    (folder / "password").chmod(0o644)
    data = str(folder / "data")
    try:
        made = _as_user("initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={folder / 'password'}")
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        command = _as_user("postgres", "-D", data, "-p", str(found.port), "-k", str(folder), "-F")
        server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
        _wait(found.port)
        yield found
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(30)
        shutil.rmtree(folder)


def _as_user(program: str, *arguments: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    command = [f"{PROGRAMS[-1]}/{program}", *arguments]
    if os.geteuid():
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


def _wait(port: int) -> None:
    ready = [f"{PROGRAMS[-1]}/pg_isready", "--host=127.0.0.1", f"--port={port}"]
    deadline = time.monotonic() + 90
    while subprocess.run(ready, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL did not become ready"
        time.sleep(0.2)

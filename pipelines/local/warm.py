"""Steps from a warm process: one that has imported what the steps of a run need, and forks each of them.

A step is started in milliseconds instead of seconds and is otherwise what a new interpreter would be: a process of its own in a
session of its own, with its own environment, folder, limits, standard output and exit code. The server lives as long as one
command. Whatever goes wrong with it, the caller starts a new interpreter instead.
"""

import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from stagewright.components.runtime import tracking
from stagewright.components.runtime.settings import LocalSettings, load_settings
from stagewright.pipelines.local.step_life import LIFELINE
from stagewright.pipelines.local.warm_modules import FIRST
from stagewright.pipelines.local.warm_server import LENGTH_BYTES

START_SECONDS = 60.0
_END_SECONDS = 0.2
_SERVER = "stagewright.pipelines.local.warm_server"
# What may differ between the server's environment and a step's: it is read when used, never when a module is imported.
_READ_WHEN_USED = ("AWS_", "STAGEWRIGHT_")
_READ_WHEN_USED_NAMES = {"MLFLOW_TRACKING_URI", "TMPDIR", "_KFP_RUNTIME", "PYTEST_CURRENT_TEST"}
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


_server: ContextVar["WarmServer | None"] = ContextVar("warm_server", default=None)


@contextlib.contextmanager
def warm_server() -> Iterator["WarmServer | None"]:
    """The server that steps are forked from inside the block: one for all blocks in each other; None where there is none."""
    if _server.get() or sys.platform != "linux" or not load_settings(LocalSettings, "a run starts steps").warm_steps:
        yield _server.get()
        return
    server = WarmServer()
    server.preload(FIRST)
    token = _server.set(server)
    try:
        yield server
    finally:
        _server.reset(token)
        server.close()


def current_server() -> "WarmServer | None":
    """The server of the block that is being executed, if there is one."""
    return _server.get()


class WarmStep:
    """A step that was forked; used like `subprocess.Popen`."""

    def __init__(self, connection: socket.socket, pid: int, output: int) -> None:
        self.pid, self._connection = pid, connection
        self._code: int | None = None
        self.stdout = open(output, encoding="utf-8", errors="replace")  # noqa: SIM115  closed by who follows the step

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal; -9 as well if whoever waits for the step was killed.

        Raises:
            subprocess.TimeoutExpired: If the step still runs.
        """
        if self._code is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("step", timeout or 0)
            line = _line(self._connection)
            self._code = int(line) if line else -9
            self._connection.close()
        return self._code


class WarmServer:
    """The process that steps are forked from, for as long as the block lasts."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = dict(os.environ)
        self._lock = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the server
        self.fault: str | None = None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SERVER, str(theirs.fileno())], stdin=subprocess.DEVNULL, stdout=self._log,
                stderr=subprocess.STDOUT, env={**tracking.CLIENT_DEFAULTS, **os.environ, "_KFP_RUNTIME": "true"},
                pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def preload(self, modules: Iterable[str]) -> None:
        """Let the server import modules, in this order, whenever it has nothing else to do."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(list(modules)).encode())

    def start(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], lifeline: int) -> WarmStep | None:
        """Fork a step that runs `module.main()`; None if it cannot be, with the reason in `fault` if that is one."""
        if self.fault or not self._same(environment):
            return None
        connection, theirs = socket.socketpair()
        read, write = os.pipe()
        try:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"job"], [theirs.fileno(), write, lifeline])
        except OSError:
            self._broken(connection, read, "it has ended")
            return None
        finally:
            os.close(write)
        pid = self._hand_over(connection, _job(module, arguments, environment))
        if pid is None:
            self._broken(connection, read, self._why())
            return None
        return WarmStep(connection, pid, read)

    def close(self) -> None:
        """End the server; a step that still runs is not touched."""
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it imports something, or a step runs that nobody waits for
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _same(self, environment: Mapping[str, str]) -> bool:
        return _read_when_imported(environment) == _read_when_imported(self._environment)

    @staticmethod
    def _hand_over(connection: socket.socket, job: bytes) -> int | None:
        """Give a fork its job once it says its pid; one that comes too late gets none, and ends."""
        connection.settimeout(START_SECONDS)
        try:
            pid = _line(connection)
            connection.sendall(len(job).to_bytes(LENGTH_BYTES, "big") + job)
        except OSError:
            return None
        connection.settimeout(None)
        return int(pid) if pid else None

    def _broken(self, connection: socket.socket, read: int, fault: str) -> None:
        self.fault = fault
        connection.close()
        os.close(read)

    def _why(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return f"it did not start a step within {START_SECONDS:.0f} s"
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"it ended with code {code}"


def _job(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> bytes:
    umask = os.umask(0o077)
    os.umask(umask)
    document: dict[str, Any] = {
        "module": module,
        "arguments": list(arguments),
        "environment": dict(environment),
        "lifeline": LIFELINE,
        "folder": str(Path.cwd()),
        "umask": umask,
        "limits": [(limit, resource.getrlimit(limit)) for limit in _LIMITS],
        "processors": sorted(os.sched_getaffinity(0)),
    }
    return json.dumps(document).encode()


def _read_when_imported(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_READ_WHEN_USED) and name not in _READ_WHEN_USED_NAMES
    }


def _line(connection: socket.socket) -> str:
    """The next line, without its end; empty if the other side is gone."""
    found = b""
    while not found.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            return ""
        found += part
    return found.decode().strip()

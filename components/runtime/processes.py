"""Background processes of a laptop: started detached, found again by pid and start time, ended without guessing."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagewright.components.runtime.errors import InputError

STOP_SECONDS = 10.0
# In a step: the TMPDIR outside of it. The step's own is removed with it, and what outlives it needs another.
OUTER_TEMPORARY = "STAGEWRIGHT_OUTER_TMPDIR"
_PRIVATE = 0o077
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its pid and the moment it began, so that a reused pid is never taken for it."""

    pid: int
    began: str

    @property
    def alive(self) -> bool:
        return _began(self.pid) == self.began


def own() -> Process:
    """This process."""
    return Process(os.getpid(), _began(os.getpid()) or "")


def start(command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, outlives: bool = True) -> Process:
    """Start a command in a session of its own, with its output in a file. It outlives this program.

    Only the user who starts it may read the files that it writes.

    Args:
        log: Receives standard output and standard error; what it held before is replaced.
        environment: Variables on top of this program's own.
        outlives: False to have the system kill it when the thread that started it ends, by whatever cause (Linux).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, umask=_PRIVATE,
            env={**_environment(), **(environment or {})}, preexec_fn=None if outlives else _die_with_parent,  # noqa: PLW1509
        )  # fmt: skip
    return Process(child.pid, _began(child.pid) or "")


def stop(process: Process, *, grace: float = STOP_SECONDS) -> bool:
    """Ask a process and its children to end, insist after `grace` seconds; whether it was running."""
    if not process.alive:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)  # it leads a group of its own: see start
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + grace
        while process.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        if not process.alive:
            break
    return True


def free_port(preferred: int | None = None, *, host: str = "127.0.0.1") -> int:
    """`preferred` if nothing listens there, otherwise a port that the system picks."""
    for port in (preferred, 0):
        if port is not None:
            try:
                return _bind(port, host)
            except OSError:
                continue
    raise InputError(f"no free port on {host}")


def require_port(port: int, *, purpose: str, host: str = "127.0.0.1") -> int:
    """`port`, if nothing listens there.

    Raises:
        InputError: If it is taken, saying what it was for.
    """
    try:
        return _bind(port, host)
    except OSError as error:
        reason = "already taken" if error.errno in (48, 98) else (error.strerror or str(error)).lower()
        raise InputError(f"port {port} on {host} is {reason}; {purpose} needs a free one: choose another") from None


def last_line(log: Path) -> str:
    """The last line that is not blank of a log, for an error message."""
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"{log} is empty")


def _die_with_parent() -> None:
    """Runs in the child: nothing but a system call, so that a lock that another thread holds does no harm."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment() -> dict[str, str]:
    variables = dict(os.environ)
    if OUTER_TEMPORARY in variables:
        variables["TMPDIR"] = variables.pop(OUTER_TEMPORARY)
    return variables


def _bind(port: int, host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        number: int = probe.getsockname()[1]
        return number


def _began(pid: int) -> str | None:
    """When a process began, as the system writes it; None when it is gone or only waits to be reaped."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            state, *rest = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state == "Z" else rest[18]
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    state, _, began = shown.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()

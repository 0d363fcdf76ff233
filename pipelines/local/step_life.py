"""Life cycle of a step's process: it ends with the run that started it and leaves nothing behind.

The run holds one end of a pipe and the step the other. When the run is gone, killed included, the step reads the end of the
pipe: it is interrupted as by Ctrl-C, so that it can undo what it began, and killed with its children after a grace.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from stagewright.components.runtime.processes import OUTER_TEMPORARY

GRACE_SECONDS = 10.0
LIFELINE = "STAGEWRIGHT_STEP_LIFELINE"


class Started(Protocol):
    """A step's process, as `subprocess.Popen` has it: it leads a group of its own."""

    pid: int

    @property
    def stdout(self) -> IO[str] | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


# Starts a step without its command, from its environment and the descriptor of its lifeline; None if that cannot be.
Fork = Callable[[Mapping[str, str], int], Started | None]


def run_step(command: Sequence[str], variables: Mapping[str, str], *, folder: Path, fork: Fork | None = None) -> int:
    """Run a step in a group of processes of its own and print what it prints; its exit code.

    Args:
        folder: Where the step's temporary files go, in a folder that is removed with it.
        fork: Another way to start it, tried first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = os.pipe()[::-1]
    with tempfile.TemporaryDirectory(prefix="tmp-", dir=folder, ignore_cleanup_errors=True) as temporary:
        environment = {
            **os.environ, **variables, "TMPDIR": temporary,
            OUTER_TEMPORARY: os.environ.get("TMPDIR", ""),
        }  # fmt: skip
        try:
            process = (fork(environment, theirs) if fork else None) or _start(command, environment, theirs)
            os.close(theirs)
            return _followed(process)
        finally:
            os.close(ours)


def _start(command: Sequence[str], environment: Mapping[str, str], lifeline: int) -> Started:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        errors="replace", bufsize=1, env={**environment, LIFELINE: str(lifeline)}, pass_fds=(lifeline,), start_new_session=True,
    )  # fmt: skip


def _followed(process: Started) -> int:
    try:
        for line in process.stdout or ():
            print(line, end="")  # noqa: T201  the run's log takes it
        print("\n")  # noqa: T201
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: Started) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout:
        process.stdout.close()


def end_with_the_run() -> None:
    """Called in the step: end it when the run that started it has ended."""
    if LIFELINE not in os.environ:
        return
    lifeline = int(os.environ.pop(LIFELINE))
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True, name="lifeline").start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)  # no other process can do it
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)

"""The life of a step's process: it ends with the run that started it, however that ends, and leaves nothing behind.

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
from collections.abc import Mapping, Sequence
from pathlib import Path

from stagewright.components.runtime.processes import OUTER_TEMPORARY

GRACE_SECONDS = 10.0
_LIFELINE = "STAGEWRIGHT_STEP_LIFELINE"


def run_step(command: Sequence[str], variables: Mapping[str, str], *, folder: Path) -> int:
    """Run a step in a group of processes of its own and print what it prints; its exit code.

    Args:
        folder: Where the step's temporary files go, in a folder that is removed with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = os.pipe()[::-1]
    with tempfile.TemporaryDirectory(prefix="tmp-", dir=folder, ignore_cleanup_errors=True) as temporary:
        environment = {
            **os.environ, **variables, _LIFELINE: str(theirs), "TMPDIR": temporary,
            OUTER_TEMPORARY: os.environ.get("TMPDIR", ""),
        }  # fmt: skip
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                errors="replace", bufsize=1, env=environment, pass_fds=(theirs,), start_new_session=True,
            )  # fmt: skip
            os.close(theirs)
            return _followed(process)
        finally:
            os.close(ours)


def _followed(process: "subprocess.Popen[str]") -> int:
    try:
        for line in process.stdout or ():
            print(line, end="")  # noqa: T201  the run's log takes it
        print("\n")  # noqa: T201
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: "subprocess.Popen[str]") -> None:
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
    """Called in the step: end it when the run that started it is gone."""
    if _LIFELINE not in os.environ:
        return
    lifeline = int(os.environ.pop(_LIFELINE))
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True, name="lifeline").start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)  # nobody else is left to do it
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)

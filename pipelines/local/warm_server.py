"""The process that warm steps are forked from: it imports what they need, runs nothing itself, and has no thread.

Started by `warm.WarmServer`. It reads messages from one socket: modules to import, or a job with three descriptors (the job's
own connection, its standard output, its lifeline). A job is forked twice: a keeper waits for the step and tells its exit code,
so that neither the end of this server nor that of another step changes anything for it.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import socket
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

LENGTH_BYTES = 8
_LARGEST_MESSAGE = 1 << 16
# Threads that survive a fork in the parent and that a child does not miss: both allocators prepare for a fork, and what polars'
# cleaner would remove lies in the step's temporary folder. OpenBLAS ends its threads before a fork and starts them when needed.
_HARMLESS_THREADS = {"jemalloc_bg_thd", "polars-ooc-clea"}

Job = dict[str, Any]


def main() -> None:
    """Serve until the other side closes the socket; in a forked child, run the job instead."""
    gc.disable()  # until a child runs: what is imported stays, and pages that nobody writes to are shared
    with socket.socket(fileno=int(sys.argv[1])) as control:
        job = _serve(control)
    if job is None:
        _reap(0)
        os._exit(0)  # taking apart what was imported would take a second
    importlib.import_module(job["module"]).main()


def _serve(control: socket.socket) -> Job | None:
    """Import and fork until the end; the job in a child, None in the server when it is no longer needed."""
    waiting: deque[str] = deque()
    while True:
        readable, _, _ = select.select([control], [], [], 0 if waiting else None)
        if not readable:
            _import(waiting.popleft())
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE, 3)
        if not message:
            return None
        if descriptors:
            job = _fork_keeper(control, *descriptors)
            if job is not None:
                return job
        else:
            waiting.extend(json.loads(message))
        _reap(os.WNOHANG)


def _import(module: str) -> None:
    """Import a module; if it fails, the step that needs it says so."""
    with contextlib.suppress(BaseException):
        importlib.import_module(module)


def _fork_keeper(control: socket.socket, connection: int, output: int, lifeline: int) -> Job | None:
    """Fork a job; None in the server, the job in the step."""
    gc.freeze()
    allowed, allow = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(allow)
        control.close()
        if not os.read(allowed, 1):
            os._exit(1)
        os.close(allowed)
        return _keep(socket.socket(fileno=connection), output, lifeline)
    foreign = _threads() - _HARMLESS_THREADS
    if not foreign:
        os.write(allow, b"1")
    for descriptor in (allowed, allow, connection, output, lifeline):
        os.close(descriptor)
    if foreign:
        print(f"threads are running that a fork would break: {', '.join(sorted(foreign))}", flush=True)  # noqa: T201  its log
        os._exit(1)
    return None


def _threads() -> set[str]:
    """Names of the threads of this process, but for the one that asks; right after a fork, so OpenBLAS has none."""
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
    return {(task / "comm").read_text().strip() for task in tasks}


def _reap(options: int) -> None:
    """Take note of keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _keep(connection: socket.socket, output: int, lifeline: int) -> Job:
    """Fork the step and wait for it; returns in the step only."""
    step = os.fork()
    if step == 0:
        return _become_step(connection, output, lifeline)
    os.close(output)
    os.close(lifeline)
    ended = os.waitid(os.P_PID, step, os.WEXITED | os.WNOWAIT)  # not reaped: the pid is nobody else's until the run is told
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status  # type: ignore[union-attr]
    with contextlib.suppress(OSError):  # the run is gone
        connection.sendall(f"{code}\n".encode())
        connection.recv(1)
    os.waitpid(step, 0)
    os._exit(0)


def _become_step(connection: socket.socket, output: int, lifeline: int) -> Job:
    """Make this process what a new interpreter would be: session, streams, folder, limits, environment, random numbers."""
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    with connection:
        connection.sendall(f"{os.getpid()}\n".encode())  # only now can its group be signalled
        job: Job = json.loads(_read(connection, int.from_bytes(_read(connection, LENGTH_BYTES), "big")))
    os.environ.clear()
    os.environ.update({**job["environment"], job["lifeline"]: str(lifeline)})
    os.chdir(job["folder"])
    os.umask(job["umask"])
    for limit, values in job["limits"]:
        resource.setrlimit(limit, values)
    os.sched_setaffinity(0, job["processors"])
    sys.argv = [str(importlib.import_module(job["module"]).__file__), *job["arguments"]]
    if not sys.flags.safe_path:
        sys.path[0] = job["folder"]
    _forget_what_was_imported_elsewhere()
    gc.enable()
    return job


def _forget_what_was_imported_elsewhere() -> None:
    """Renew what a module keeps from the moment of its import."""
    tempfile.tempdir = None
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "polars" in sys.modules:
        # Its cleaner's thread is not here, so what it spills must lie where it is removed with the step.
        spill = os.environ.get("POLARS_OOC_SPILL_DIR") or f"{tempfile.gettempdir()}/spilled"
        sys.modules["polars"].Config.load(json.dumps({"environment": {"POLARS_OOC_SPILL_DIR": spill}}))


def _read(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            os._exit(1)
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    main()

"""What the tests let a step do: `main` runs the job that the first argument names, in a fork or in a new interpreter."""

import contextlib
import gc
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import stat
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any


def main() -> None:
    globals()[sys.argv[1]](*sys.argv[2:])


def say(found: Any) -> None:
    print(json.dumps(found), flush=True)


def code(number: str) -> None:
    sys.exit(int(number))


def code_at_once(number: str) -> None:
    os._exit(int(number))


def killed(number: str) -> None:
    os.kill(os.getpid(), int(number))
    time.sleep(60)


def raises() -> None:
    raise RuntimeError("a defect")


def fills_memory() -> None:
    """As far as a limit lets it."""
    allowed = 200 << 20
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, used + allowed))
    held = bytearray(allowed * 2)
    say(len(held))


def prints() -> None:
    print("standard output", flush=True)
    print("standard error: \u00e4\u00f6\u00fc", file=sys.stderr, flush=True)
    os.write(1, b"bytes \xff that are no text\n")
    os.system("echo from a shell")


def hangs(path: str) -> None:
    """Ignores Ctrl-C, and so does its child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = os.fork()
    if child:
        Path(path).write_text(f"{os.getpid()} {child}")
    time.sleep(300)


def waits_for(path: str, number: str) -> None:
    Path(path + ".ready").touch()
    while not Path(path).exists():
        time.sleep(0.02)
    sys.exit(int(number))


def interrupted(path: str) -> None:
    """Undoes what it began when it is interrupted."""
    try:
        Path(path).touch()
        time.sleep(300)
    except KeyboardInterrupt:
        Path(path).unlink()
        sys.exit(130)


def leaves_traces(folder: str) -> None:
    os.environ["TRACE"] = "left"
    os.chdir(folder)
    os.umask(0)
    random.seed(0)
    sys.path.append("trace")
    json.trace = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.getLogger().addHandler(logging.NullHandler())
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threading.Thread(target=time.sleep, args=(0.1,)).start()


def surroundings() -> None:
    """Everything that a step could tell a fork from a new interpreter by."""
    environment = {name: value for name, value in os.environ.items() if name not in {"TMPDIR", "STAGEWRIGHT_STEP_LIFELINE"}}
    # What a shell or an interpreter adds on its own account.
    for name in ("LC_CTYPE", "POLARS_OOC_SPILL_DIR", "_KFP_RUNTIME"):
        environment.pop(name, None)
    with contextlib.suppress(OSError):
        os.fstat(int(os.environ["STAGEWRIGHT_STEP_LIFELINE"]))
    say(
        {
            "environment": environment,
            "folder": os.getcwd(),  # noqa: PTH109
            "umask": os.umask(0),
            "arguments": sys.argv[1:],
            "program": sys.argv[0],
            "path": sys.path,
            "collects": [gc.isenabled(), gc.get_threshold()],
            "signals": {str(number): str(signal.getsignal(number)) for number in signal.valid_signals() if number < 32},
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "leads": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)],
            "streams": [
                (stream.encoding, stream.errors, stream.isatty(), stream.line_buffering)  # type: ignore[union-attr]
                for stream in (sys.stdin, sys.stdout, sys.stderr)
            ],
            "input": str(Path("/proc/self/fd/0").readlink()),
            "same_pipe": Path("/proc/self/fd/1").readlink() == Path("/proc/self/fd/2").readlink(),
            "open": open_beyond_streams(),
            "threads": [thread.name for thread in threading.enumerate()],
            "temporary": tempfile.gettempdir() == os.environ["TMPDIR"],
            "limits": [resource.getrlimit(getattr(resource, n)) for n in sorted(dir(resource)) if n.startswith("RLIMIT_")],
            "processors": sorted(os.sched_getaffinity(0)),
            "nice": os.nice(0),
            "handlers": [str(handler) for handler in logging.getLogger().handlers],
            "main": threading.current_thread() is threading.main_thread(),
            "start_method": multiprocessing.get_start_method(),
            "parent": str(multiprocessing.parent_process()),
            "trace": hasattr(json, "trace"),
        }
    )


def open_beyond_streams() -> list[str]:
    """Kinds of what is open beyond the three streams."""
    kinds = []
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            mode = os.fstat(descriptor).st_mode
            kinds.append("pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "other")
    return kinds


def chance() -> None:
    import numpy as np

    say([random.random(), float(np.random.random()), uuid.uuid4().hex])


def parallel() -> None:
    """Works on all processors by way of each library that has threads of its own, and by new processes."""
    import numpy as np
    import polars as pl

    square = np.ones((300, 300))
    total = float((square @ square).sum())
    rows = pl.DataFrame({"a": range(100_000)}).group_by(pl.col("a") % 7).agg(pl.col("a").sum().alias("sum"))["sum"].sum()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(len, ["ab", "abc"])
    say([total, rows, found])


def spills() -> None:
    """Lets polars write to disk what its memory budget does not hold."""
    import polars as pl

    file = Path(os.environ["TMPDIR"]) / "rows.parquet"
    pl.DataFrame({"a": range(1_000_000)}).with_columns((pl.col("a") * 7919 % 300_007).alias("b")).write_parquet(file)
    groups = pl.scan_parquet(file).sort("b").group_by("b").agg(pl.col("a").sum()).collect(engine="streaming")
    place = os.environ.get("POLARS_OOC_SPILL_DIR", "")
    say([len(groups), place, len(list(Path(place).rglob("spill-*"))) if place else 0])


if __name__ == "__main__":
    main()

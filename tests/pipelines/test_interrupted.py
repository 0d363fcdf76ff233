"""A run that is interrupted, or whose program is killed, leaves no process and no temporary file behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stagewright.components.runtime import processes

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
ENDS_WITHIN = 40.0


def until(found: Callable[[], object], seconds: float) -> object:
    deadline = time.monotonic() + seconds
    while not (last := found()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return last


def belonging_to(home: Path) -> dict[int, str]:
    """Processes that were started with this home, by pid, but for the object store."""
    mark, found = f"STAGEWRIGHT_HOME={home}\0".encode(), {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return {pid: command for pid, command in found.items() if "juicefs" not in command}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_run_that_ends_early_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    home, temporary, data = tmp_path / "home", tmp_path / "temporary", tmp_path / "data.parquet"
    temporary.mkdir()
    random = np.random.default_rng(0)
    pl.DataFrame({"x": random.normal(size=20_000), "y": random.normal(size=20_000)}).write_parquet(data)
    command = [
        BIN / "stagewright", "run", "train-model", "--data", data, "--target", "y", "--name", "a", "--deploy-to", "none",
        "--framework", "lightgbm", "--params", '{"n_estimators": 100000, "early_stopping_rounds": null}',
    ]  # fmt: skip
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    environment = variables | {"STAGEWRIGHT_HOME": str(home), "TMPDIR": str(temporary)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        assert until(lambda: [one for one in belonging_to(home).values() if "warm_server" in one], 100)
        assert until(lambda: list(home.glob("runs/*/steps/*/train-model")), 200)

        run.send_signal(number)
        run.wait(ENDS_WITHIN)

        assert until(lambda: not belonging_to(home), ENDS_WITHIN), belonging_to(home)
        assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
        assert list(temporary.iterdir()) == []
        assert list(home.glob("runs/*/tmp/tmp-*")) == []
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        subprocess.run([BIN / "stagewright", "down"], env=environment, check=True, capture_output=True)


def test_process_that_does_not_outlive_its_parent_is_killed_with_it(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from stagewright.components.runtime import processes
for outlives in (False, True):
    started = processes.start(["sleep", "300"], log=Path({str(tmp_path)!r}) / "log", outlives=outlives)
    print(started.pid, started.began, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    first, second = (processes.Process(int(pid), began) for pid, began in map(str.split, done.stdout.splitlines()))
    try:
        assert until(lambda: not first.alive, 10)
        assert second.alive
    finally:
        processes.stop(second)

"""Background processes: found by pid and start time, ended with their children."""

import socket
import sys
import time
from pathlib import Path

import pytest

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.processes import Process

SLEEPS = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]


def test_process_lives_until_it_is_stopped(tmp_path: Path) -> None:
    started = processes.start(SLEEPS, log=tmp_path / "deep" / "a.log")

    assert started.alive
    assert processes.stop(started)
    assert not started.alive
    assert not processes.stop(started)


def test_another_process_with_the_same_pid_is_not_taken_for_it(tmp_path: Path) -> None:
    started = processes.start(SLEEPS, log=tmp_path / "a.log")
    other = Process(started.pid, "long ago")

    assert not other.alive
    assert not processes.stop(other)
    assert started.alive
    processes.stop(started)


def test_process_that_ignores_the_request_is_ended_all_the_same(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    started = processes.start([sys.executable, "-c", code], log=tmp_path / "a.log")
    while "up" not in (tmp_path / "a.log").read_text():
        time.sleep(0.01)

    assert processes.stop(started, grace=0.3)
    assert not started.alive


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    code = f"import subprocess; child = subprocess.Popen({SLEEPS!r}); print(child.pid, flush=True); child.wait()"
    started = processes.start([sys.executable, "-c", code], log=tmp_path / "a.log")
    while "up" not in (tmp_path / "a.log").read_text():
        time.sleep(0.01)
    child = int((tmp_path / "a.log").read_text().split()[0])

    processes.stop(started)
    deadline = time.monotonic() + 5
    while processes._began(child) is not None and time.monotonic() < deadline:
        time.sleep(0.02)

    assert processes._began(child) is None


def test_taken_port_is_refused_by_purpose_and_avoided_otherwise() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is already taken; the predictor needs a free one"):
            processes.require_port(port, purpose="the predictor")
        assert processes.free_port(port) != port


def test_last_line_is_the_last_that_says_something(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("first\n  last words  \n\n")

    assert processes.last_line(tmp_path / "a.log") == "last words"
    assert processes.last_line(tmp_path / "absent.log").endswith("absent.log is empty")

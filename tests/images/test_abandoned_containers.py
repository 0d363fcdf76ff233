"""A run that is killed leaves its container: the next run, or `stagewright down`, ends it, and no other."""

import io
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import docker

from stagewright.pipelines.local import abandoned, docker_steps

IMAGE = "stagewright-test-pause:1"
SCRIPT = f"""
from stagewright.pipelines.local import docker_steps
docker_steps.run_container(docker_steps.connect(), {IMAGE!r}, ["/pause"], {{}})
"""


@pytest.fixture(scope="module")
def pause(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image of one program, which waits for ever."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    folder = tmp_path_factory.mktemp("pause")
    (folder / "pause.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run([compiler, "-static", "-o", folder / "pause", folder / "pause.c"], check=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder / "pause", "pause")
    subprocess.run(["docker", "import", "-", IMAGE], input=packed.getvalue(), check=True, capture_output=True)
    yield
    docker("rmi", "--force", IMAGE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path))
    yield tmp_path
    for identity in containers():
        docker("rm", "--force", identity)


def containers() -> list[str]:
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"ancestor={IMAGE}").split()


def running(count: int) -> tuple[subprocess.Popen[bytes], str]:
    """A run at work, the so-manyth, and its container."""
    before = set(containers())
    run = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.DEVNULL)
    while len(found := set(containers()) - before) < 1:
        assert run.poll() is None
        time.sleep(0.05)
    assert len(before) == count - 1
    (made,) = found
    while docker("inspect", "--format", "{{.State.Running}}", made) != "true":
        time.sleep(0.05)
    return run, made


def kill(run: subprocess.Popen[bytes]) -> None:
    run.send_signal(signal.SIGKILL)
    run.wait()


def test_the_next_run_ends_what_a_killed_one_left_and_nothing_else(pause: None, home: Path) -> None:
    dead, left = running(1)
    other, at_work = running(2)
    theirs = docker(
        "run", "--detach", "--label", f"{abandoned.PLACE}=another machine", "--label", f"{abandoned.PID}=1", IMAGE, "/pause"
    )
    unlabelled = docker("run", "--detach", IMAGE, "/pause")
    try:
        kill(dead)
        assert left in containers()

        with docker_steps.own_containers(home / "steps"):
            assert set(containers()) == {at_work, theirs, unlabelled}
    finally:
        kill(other)


def test_down_ends_what_a_killed_run_left(pause: None, home: Path) -> None:
    dead, left = running(1)
    name = docker("inspect", "--format", "{{.Name}}", left).removeprefix("/")
    kill(dead)

    done = subprocess.run([Path(sys.executable).parent / "stagewright", "down"], capture_output=True, text=True, check=True)

    assert containers() == []
    assert done.stdout == f"stopped {name}\n"


def test_a_run_that_is_interrupted_removes_its_container_itself(pause: None, home: Path) -> None:
    run, _ = running(1)

    run.send_signal(signal.SIGINT)
    run.wait()

    assert containers() == []

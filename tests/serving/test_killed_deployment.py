"""A deployment that is killed leaves a predictor that nobody recorded: the next one, or `stagewright down`, ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.exported_models import write_wine_model

from stagewright.components.runtime import processes
from stagewright.components.runtime.processes import Process
from stagewright.components.serving.targets import deployments, local

# Killed where it waits for the predictor, or between the record of the new one and the end of the old one.
WAITING = "local._check = lambda *_: time.sleep(300)"
REPLACING = "local.processes.stop = lambda *_: time.sleep(300)"
SCRIPT = """
import sys, time
from stagewright.components.serving.targets import deployments, local
{change}
local.deploy(name="wine", version=sys.argv[2], model_uri=sys.argv[1])
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    local.end_abandoned()
    for service in local.services():
        local.stop(service.name)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_wine_model(tmp_path / "model")


def left(home: Path) -> list[Process]:
    record = home / "deployments/wine" / deployments.UNSETTLED
    return [Process(**one) for one in json.loads(record.read_text())] if record.exists() else []


def killed(home: Path, model: Path, change: str, *, processes: int, version: str = "v1.1.0") -> list[Process]:
    """What a deployment has left that was killed as soon as so many processes were unsettled."""
    script = subprocess.Popen([sys.executable, "-c", SCRIPT.format(change=change), str(model), version])
    try:
        while len(found := left(home)) < processes:
            assert script.poll() is None
            time.sleep(0.02)
        if REPLACING in change:
            while (known := local.find_deployment("wine")) is None or known.version != version:
                time.sleep(0.02)
    finally:
        os.kill(script.pid, signal.SIGKILL)
        script.wait()
    return found


def test_down_ends_the_predictor_of_a_killed_deployment(home: Path, model: Path) -> None:
    (orphan,) = killed(home, model, WAITING, processes=1)
    assert orphan.alive
    assert local.services() == []

    done = subprocess.run([Path(sys.executable).parent / "stagewright", "down"], capture_output=True, text=True, check=True)

    assert not orphan.alive
    assert done.stdout == "stopped wine\n"
    assert not (home / "deployments/wine" / deployments.UNSETTLED).exists()


def test_the_next_deployment_ends_the_predictor_and_keeps_what_serves(home: Path, model: Path) -> None:
    serving = local.deploy(name="wine", version="v1.0.0", model_uri=str(model))
    change = f"local._hot_swap = lambda *_: None\n{WAITING}"
    (orphan,) = killed(home, model, change, processes=1)
    assert (serving.alive, orphan.alive) == (True, True)

    after = local.deploy(name="wine", version="v1.0.0", model_uri=str(model))

    assert (after.process, serving.alive, orphan.alive) == (serving.process, True, False)


def test_the_old_predictor_of_a_killed_replacement_is_ended_and_the_new_one_stays(home: Path, model: Path) -> None:
    old = local.deploy(name="wine", version="v1.0.0", model_uri=str(model))
    change = f"local._hot_swap = lambda *_: None\n{REPLACING}"
    new, before = killed(home, model, change, processes=2)
    assert (before, old.alive, new.alive) == (old.process, True, True)

    assert local.end_abandoned() == ["wine"]

    assert (old.alive, new.alive) == (False, True)
    assert local.services()[0].process == new
    assert local.end_abandoned() == []


def test_a_deployment_that_ends_leaves_nothing_unsettled(home: Path, model: Path, tmp_path: Path) -> None:
    local.deploy(name="wine", version="v1.0.0", model_uri=str(model))
    assert left(home) == []
    with pytest.raises(Exception, match="wine"):
        local.deploy(name="other-wine", version="v1.0.0", model_uri=str(tmp_path / "nothing"))
    assert list(home.glob(f"deployments/*/{deployments.UNSETTLED}")) == []


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"pid": 1}', '[{"pid": 1, "began": "never"}]'])
def test_a_damaged_record_ends_nothing(home: Path, text: str) -> None:
    record = home / "deployments/wine" / deployments.UNSETTLED
    record.parent.mkdir(parents=True)
    record.write_text(text)

    assert local.end_abandoned() == []
    assert not record.exists()


def test_own_process_is_alive() -> None:
    assert processes.own().alive
    assert processes.own().pid == os.getpid()

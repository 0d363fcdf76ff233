"""Steps of a run are forked from its server, and start in new interpreters when that is gone."""

import os
import signal
from pathlib import Path

import pytest
from kfp import dsl

from stagewright.components.authoring import component
from stagewright.pipelines.local import runner, warm
from stagewright.pipelines.watch import SUCCEEDED

pytestmark = pytest.mark.slow
FAULT = "steps start slowly, because the process that they are forked from failed: it has ended"


@component(group="base", cacheable=False)
def tell_parent() -> str:
    """Say which program started this process."""
    import os
    from pathlib import Path

    from stagewright.components.runtime import logs
    from stagewright.components.runtime.step import step

    with step("tell_parent"):
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
        logs.notice("forked" if command[1] == b"-m" else "new")  # a new interpreter is started by sh -ec
    return os.environ["TMPDIR"]


@dsl.pipeline
def telling() -> None:
    """Two steps."""
    first = tell_parent()
    tell_parent().after(first)


def test_steps_are_forked(laptop: Path) -> None:
    run = runner.run("telling", {}, pipeline=telling)
    assert run.status == SUCCEEDED
    assert [step.notices for step in run.steps] == [["forked"], ["forked"]]
    assert warm.current_server() is None


def test_setting_starts_new_interpreters(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WARM_STEPS", "false")
    run = runner.run("telling", {}, pipeline=telling)
    assert run.status == SUCCEEDED
    assert [step.notices for step in run.steps] == [["new"], ["new"]]


def test_a_run_goes_on_without_its_server_and_says_so_once(laptop: Path) -> None:
    with warm.warm_server() as server:
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        run = runner.run("telling", {}, pipeline=telling)
    assert run.status == SUCCEEDED
    assert [step.notices for step in run.steps] == [[FAULT, "new"], ["new"]]

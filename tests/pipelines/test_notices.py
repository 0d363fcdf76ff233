"""What a step says to the person who started the run: printed under the step, listed by `--json`, kept in the log."""

import json
import logging
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from kfp import dsl
from rich.console import Console

from stagewright.components.authoring import component
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import GateFailed
from stagewright.pipelines.cli import view
from stagewright.pipelines.cli.run_command import report
from stagewright.pipelines.local import runner
from stagewright.pipelines.local.runner import Run
from stagewright.pipelines.watch import FAILED, Step

SENTENCE = (
    "the smallest model is as good as the largest of all that were tried here; there is nothing to gain by asking for more"
)


@component(group="base", cacheable=False)
def speak(sentence: str) -> None:
    """Say a sentence twice, in other words."""
    from stagewright.components.runtime import logs
    from stagewright.components.runtime.step import step

    with step("speak"):
        logs.notice(sentence)
        logs.notice("two\nlines are   one")


@dsl.pipeline
def speaking(sentence: str) -> None:
    """One step."""
    speak(sentence=sentence)


@pytest.mark.slow
def test_a_notice_is_printed_under_its_step_listed_and_kept_in_the_log(laptop: Path) -> None:
    shown = StringIO()
    with view.watching(Console(file=shown, width=80)) as watch:
        run = runner.run("speaking", {"sentence": SENTENCE}, watch=watch, pipeline=speaking)

    first, *rest = shown.getvalue().splitlines()
    assert first.startswith("✔ speak ")
    assert rest == [f"  {SENTENCE}", "  two lines are one"]
    assert report(run, {})["notices"] == [
        {"step": "speak", "message": SENTENCE},
        {"step": "speak", "message": "two lines are one"},
    ]
    assert sum('"event": "notice"' in line for line in run.log.read_text().splitlines()) == 2


def test_a_notice_comes_before_the_sentence_with_which_its_step_failed() -> None:
    step = Step("train-model", FAILED, 2.0, error="it failed", notices=["first", "second"])

    assert view.step_line(step).plain == "✘ train-model           2.0 s\n  first\n  second\n  it failed"


def test_a_step_in_this_process_is_heard_until_it_ends(tmp_path: Path) -> None:
    run = Run("any", "1", tmp_path)
    before = list(logs.LOGGER.handlers)

    with runner.step(run, "deploy-model", None):
        logs.notice("the model was restored")
        logs.event("deployed", level=logging.WARNING, message="no notice")
        raise GateFailed("the deployment", ["it answers something else"])
    logs.notice("too late")

    assert run.steps[0].notices == ["the model was restored"]
    assert run.steps[0].status == FAILED
    assert logs.LOGGER.handlers == before


def test_a_run_without_notices_lists_none(tmp_path: Path) -> None:
    document = json.loads(json.dumps(report(Run("any", "1", tmp_path, [Step("one")]), {})))

    assert document["notices"] == []


@component(group="base", cacheable=False)
def count(number: int) -> int:
    """Say when the step begins and when it ends."""
    import time

    from stagewright.components.runtime import logs
    from stagewright.components.runtime.step import step

    with step("count"):
        began = time.monotonic()
        time.sleep(0.2)
        logs.notice(f"{number} {began} {time.monotonic()}")
    return number


@dsl.pipeline
def counting() -> None:
    """Three steps of a loop."""
    with dsl.ParallelFor([1, 2, 3]) as number:
        count(number=number)


@pytest.mark.slow
def test_the_steps_of_a_loop_run_one_after_the_other_and_keep_their_notices(laptop: Path) -> None:
    run = runner.run("counting", {}, pipeline=counting)

    said = [notice.split() for step in run.steps for notice in step.notices]
    assert [(step.name, len(step.notices)) for step in run.steps] == [("count", 1)] * 3
    assert sorted(number for number, _, _ in said) == ["1", "2", "3"]
    spans = sorted((float(began), float(ended)) for _, began, ended in said)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))

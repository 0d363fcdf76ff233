"""A step's frame: what is logged, how it ends, and that its process ends as it should inside kfp."""

import json
import os
import subprocess
import sys

import pytest

from stagewright.components.runtime.errors import BadParameter, GateFailed
from stagewright.components.runtime.step import step


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"time"')]


def run(body: str, *, in_kfp: bool) -> subprocess.CompletedProcess[str]:
    code = f"import sys\nfrom stagewright.components.runtime.step import step\nwith step('work'):\n    {body}\nprint('after')\n"
    environment = {**os.environ, "_KFP_RUNTIME": "true" if in_kfp else "false"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_step_logs_its_start_and_its_end() -> None:
    done = run("pass", in_kfp=False)

    first, last = events(done.stderr)
    assert (first["event"], first["step"], first["level"]) == ("step_started", "work", "info")
    assert last["event"] == "step_finished"
    assert isinstance(last["seconds"], float)
    assert (done.returncode, done.stdout) == (0, "after\n")


@pytest.mark.parametrize(("error", "code"), [(GateFailed("data", ["too old"]), 1), (BadParameter("n", got=0, expected="1"), 2)])
def test_step_turns_an_expected_error_into_its_exit_code(error: Exception, code: int) -> None:
    with pytest.raises(SystemExit) as ended, step("work"):
        raise error

    assert ended.value.code == code


def test_failed_step_says_why_without_a_traceback() -> None:
    body = "from stagewright.components.runtime.errors import GateFailed; raise GateFailed('data', ['too old'])"

    done = run(body, in_kfp=True)

    failed = events(done.stderr)[-1]
    assert (failed["event"], failed["error"], failed["exit_code"]) == ("step_failed", "data did not pass: too old", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_defect_keeps_its_traceback() -> None:
    done = run("1 / 0", in_kfp=True)

    assert events(done.stderr)[-1]["error"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(("last_words", "code"), [("pass", 0), ("raise RuntimeError('no room for the outputs')", 1)])
def test_process_in_kfp_leaves_with_the_code_of_what_came_after_the_step(last_words: str, code: int) -> None:
    program = (
        f"from stagewright.components.runtime.step import step\nwith step('work'):\n    pass\nprint('written')\n{last_words}\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "_KFP_RUNTIME": "true"}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (code, "written\n")


def test_full_disk_ends_a_step_with_a_sentence() -> None:
    done = run("open('/dev/full', 'w').write('x' * 100000)", in_kfp=True)

    last = events(done.stderr)[-1]
    assert (done.returncode, last["event"], last["kind"]) == (1, "step_failed", "ServiceUnavailable")
    assert last["error"] == "a file cannot be written: no space left on the disk; free some space and try again"
    assert "Traceback" not in done.stderr

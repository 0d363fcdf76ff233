"""Runs are followed on a server whose runs go on from one look to the next, as the real one tells of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
from support.kfp_server import KfpServer, serving
from support.kfp_workflow import Plan
from support.small_pipeline import small_one

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.kubeflow import connection
from stagewright.pipelines.kubeflow import follow as following
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.follow import RemoteRun, follow
from stagewright.pipelines.kubeflow.submit import Submitted, submit
from stagewright.pipelines.kubeflow.task_states import container_tasks, tasks_of

Serve = Callable[..., KfpServer]
STEPS = ["make-table", "count-rows", "count-rows-2"]
SENTENCE = "the data has no column 'churn' (did you mean 'churned'?)"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KFP_HOST", "KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")
    monkeypatch.setattr(following, "INTERVAL", 0.01)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    for name in ("KUBERNETES_SERVICE_HOST", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(KfpServer(**settings)))


def start(server: KfpServer, **settings: Any) -> Submitted:
    return submit(small_one, {"factor": 2.0}, host=server.address, profile=None, **settings)


def to_the_end(server: KfpServer, **settings: Any) -> tuple[RemoteRun, list[tuple[str, str]]]:
    """Start a run and follow it; the run, and what was told of its steps."""
    started = start(server)
    told: list[tuple[str, str]] = []
    run = follow(
        started.kubeflow, started.run_id, watch=lambda step, event: told.append((event["event"], step.name)), **settings
    )
    return run, told


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stagewright", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


def test_steps_are_those_of_the_pipeline_and_told_once(serve: Serve) -> None:
    run, told = to_the_end(serve())
    assert run.status == "succeeded"
    assert [(step.name, step.status, step.seconds) for step in run.steps] == [(name, "succeeded", 20.0) for name in STEPS]
    assert told == [(event, name) for name in STEPS for event in ("started", "finished")]
    assert run.seconds == 70.0


def test_a_group_that_is_skipped_is_left_out(serve: Serve) -> None:
    run, _ = to_the_end(serve(plan=Plan(skipped=("condition-1",))))
    assert run.status == "succeeded"
    assert [step.name for step in run.steps] == STEPS[:2]


@pytest.mark.parametrize("attempts", [0, 1, 3])
@pytest.mark.parametrize("dashboard", [False, True])
@pytest.mark.parametrize("told_in", ["error", "history", "log", "archive"])
def test_a_failed_step_says_why_wherever_it_is_told(serve: Serve, told_in: str, dashboard: bool, attempts: int) -> None:
    plan = Plan(fails={"count-rows": SENTENCE}, told_in=told_in, attempts=attempts)
    run, told = to_the_end(serve(plan=plan, dashboard=dashboard))
    assert run.status == "failed"
    assert run.failed_step is not None
    assert (run.failed_step.name, run.failed_step.error, run.failed_step.exit_code) == ("count-rows", SENTENCE, 1)
    assert told[-1] == ("finished", "count-rows")


def test_a_failed_step_that_says_nothing_points_to_its_log(serve: Serve) -> None:
    run, _ = to_the_end(serve(plan=Plan(fails={"count-rows": SENTENCE}, told_in="nowhere")))
    assert run.failed_step is not None
    assert run.failed_step.error == "the step ended without an error message; see its log on the dashboard"


def test_a_run_that_fails_before_its_step_begins_says_where(serve: Serve) -> None:
    run, _ = to_the_end(serve(plan=Plan(driver_fails="count-rows")))
    assert run.status == "failed"
    assert [step.status for step in run.steps] == ["succeeded"]
    assert run.error == "count-rows-driver failed before its step started"


def test_a_run_that_is_terminated_ends_its_steps(serve: Serve) -> None:
    run, _ = to_the_end(serve(plan=Plan(canceled_after=3)))
    assert run.status == "canceled"
    assert [(step.name, step.status) for step in run.steps] == [("make-table", "succeeded"), ("count-rows", "canceled")]


@pytest.mark.parametrize("status", [503, 500, 502, None])
def test_an_outage_is_outlasted(serve: Serve, status: int | None) -> None:
    heard: list[str] = []
    server = serve(silent=3, silent_after=3, silent_status=status)
    run, told = to_the_end(server, notice=heard.append)
    assert run.status == "succeeded"
    assert told == [(event, name) for name in STEPS for event in ("started", "finished")]
    assert len(heard) == 2
    assert heard[0].endswith("; retrying")
    assert heard[1] == f"{server.address} responds again"


def test_an_outage_that_lasts_ends_following(serve: Serve) -> None:
    server = serve(silent=10**6, silent_after=2)
    with pytest.raises(ServiceUnavailable, match="failed with status 503: upstream connect error"):
        to_the_end(server, patience=0.05)


def test_a_token_that_is_renewed_is_read_again(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "mounted"
    file.write_text("first")
    server = serve(token="first")
    started = start(server, service_account_token=str(file))

    def renew(*_: Any) -> None:
        file.write_text("second")
        server.token = "second"

    assert follow(started.kubeflow, started.run_id, watch=renew).status == "succeeded"


def test_a_token_that_is_gone_is_named(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "mounted"
    file.write_text("first")
    started = start(serve(token="first"), service_account_token=str(file))
    file.unlink()
    with pytest.raises(InputError, match=r"service-account token .*/mounted cannot be read: No such file or directory"):
        follow(started.kubeflow, started.run_id)


def test_an_unknown_run_is_named(serve: Serve) -> None:
    server = serve()
    with pytest.raises(
        InputError, match=rf"no run 'nothing' at {server.address}; find the id on the run's page of the dashboard"
    ):
        follow(Kubeflow(Connection(server.address), None), "nothing")


def test_steps_are_guessed_where_the_spec_is_gone(serve: Serve) -> None:
    server = serve()
    started = start(server)
    server.versions.clear()
    assert [step.name for step in follow(started.kubeflow, started.run_id).steps] == STEPS


def test_steps_of_a_loop_are_told_apart() -> None:
    task = kfp_server_api.V2beta1PipelineTaskDetail
    nodes = [task(task_id=f"t{item}", display_name="fit", state="SUCCEEDED") for item in range(3)]
    nodes.append(task(task_id="i", display_name="iteration-item(0:1)", state="SUCCEEDED"))
    run = kfp_server_api.V2beta1Run(run_details=kfp_server_api.V2beta1RunDetails(task_details=nodes))
    assert [(found.name, found.key) for found in tasks_of(run, ())] == [("fit", "t0"), ("fit", "t1"), ("fit", "t2")]


def test_container_tasks_are_found_in_nested_graphs(serve: Serve) -> None:
    server = serve()
    started = start(server)
    assert container_tasks(started.kubeflow.spec(server.runs[0])) == set(STEPS)


def test_follow_command_shows_a_line_a_step(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    started = start(server)
    code, out, err = command(capsys, monkeypatch, "follow", started.run_id, "--host", server.address)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split() for line in lines[:3]] == [["✔", name, "20.0", "s"] for name in STEPS]
    assert lines[4].endswith(": succeeded after 70 s")
    assert lines[5].strip() == f"{server.address}/#/runs/details/{started.run_id}"


def test_follow_command_ends_with_1_and_the_sentence_of_the_failed_step(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(plan=Plan(fails={"count-rows": SENTENCE}))
    started = start(server)
    code, out, _ = command(capsys, monkeypatch, "follow", started.run_id, "--host", server.address)
    assert code == 1
    assert re.search(rf"✘ count-rows +20\.0 s\n  {re.escape(SENTENCE)}\n", out)


def test_follow_command_prints_one_json_object(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(plan=Plan(fails={"count-rows": SENTENCE}))
    started = start(server)
    code, out, _ = command(capsys, monkeypatch, "follow", started.run_id, "--host", server.address, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["run_id"] == started.run_id
    assert document["url"] == started.url
    assert document["status"] == "failed"
    assert document["steps"] == [
        {"name": "make-table", "status": "succeeded", "seconds": 20.0},
        {"name": "count-rows", "status": "failed", "seconds": 20.0},
    ]
    assert document["error"] == {"step": "count-rows", "message": SENTENCE}


def test_follow_command_tells_of_an_outage_apart_from_its_result(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(silent=2, silent_after=2)
    started = start(server)
    code, out, err = command(capsys, monkeypatch, "follow", started.run_id, "--host", server.address)
    assert code == 0
    assert "retrying" not in out
    assert err.splitlines()[0].endswith("upstream connect error; retrying")


def test_a_token_that_expires_while_following_says_how_to_go_on(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(token="abc")
    started = start(server, token="abc")
    look = server.workflows[started.run_id].look

    def expire() -> Any:
        server.token = "another"
        return look()

    monkeypatch.setattr(server.workflows[started.run_id], "look", expire)
    words = ("follow", started.run_id, "--host", server.address, "--token", "abc")
    code, _, err = command(capsys, monkeypatch, *words)
    assert code == 2
    assert "rejected the token (401)" in err
    assert f"The run continues; to follow it again: stagewright follow {started.run_id} --host {server.address}" in err
    assert "abc" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("follow", "nothing", "--host", "HOST"), 2, "error: no run 'nothing' at"),
        (("follow", "nothing", "--host", "HOST", "--token", "wrong"), 2, "rejected the token (401)"),
        (("follow", "nothing", "--host", "localhost:1"), 2, "host 'localhost:1' has no scheme"),
        (("follow", "nothing"), 2, "no Kubeflow Pipelines host; set --host or KFP_HOST"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    server = serve(token="right" if "wrong" in arguments else None)
    words = [server.address if word == "HOST" else word for word in arguments]
    ended, _, err = command(capsys, monkeypatch, *words)
    assert (ended, err.count("\n")) == (code, 1)
    assert sentence in err


def test_interrupting_stops_following_and_not_the_run(serve: Serve) -> None:
    server = serve(silent=10**6, silent_after=1)
    started = start(server)
    program = [sys.executable, "-c", "from stagewright.pipelines.cli.main import main; main()"]
    process = subprocess.Popen(
        [*program, "follow", started.run_id, "--host", server.address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while server.silent == 10**6 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        f"stopped following; the run continues. To follow it again: stagewright follow {started.run_id} --host {server.address}"
    )
    assert server.sent("POST", f"/runs/{started.run_id}:terminate") == 0
    assert "Traceback" not in err

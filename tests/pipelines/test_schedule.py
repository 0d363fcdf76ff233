"""Recurring runs on a server that follows the API, and times written as cron."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.kfp_server import KfpServer, serving
from support.small_pipeline import small_one

from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable
from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.kubeflow import connection, schedule
from stagewright.pipelines.kubeflow.client import Kubeflow, reach
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.cron import Cron
from stagewright.pipelines.kubeflow.schedule import Schedule, create
from stagewright.pipelines.kubeflow.upload import Build

Serve = Callable[..., KfpServer]
SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KFP_HOST", "KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(KfpServer(**settings)))


def make(server: KfpServer, **settings: Any) -> Schedule:
    given = {"cron": "0 3 * * *", "settings": Build(profile=None), **settings}
    token = given.pop("token", None)
    return create(small_one, {"factor": 2.0}, Connection(server.address, token), **given)


def at(server: KfpServer, namespace: str | None = None) -> Kubeflow:
    return reach(Connection(server.address, server.token, server.cookie), namespace)


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stagewright", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


@pytest.mark.parametrize(
    ("text", "with_seconds", "next_run"),
    [
        ("0 3 * * *", "0 0 3 * * *", "2026-11-22T03:00"),
        ("*/15 8-18 * * mon-fri", "0 */15 8-18 * * 1,2,3,4,5", "2026-11-23T08:00"),
        ("30 2 * * 7", "0 30 2 * * 0", "2026-11-22T02:30"),
        ("30 2 * * fri-sun", "0 30 2 * * 0,5,6", "2026-11-22T02:30"),
        ("0 0 29 FEB *", "0 0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 1 * 1", "0 0 0 1 * 1", "2026-11-23T00:00"),  # the first of the month, and Mondays
        ("5/20 * * * *", "0 5/20 * * * *", "2026-11-21T12:05"),
        ("@monthly", "0 0 0 1 * *", "2026-12-01T00:00"),
    ],
)
def test_cron_is_rewritten_with_seconds(text: str, with_seconds: str, next_run: str) -> None:
    cron = Cron.parse(text)
    found = cron.next_after(SATURDAY)
    assert cron.with_seconds == with_seconds
    assert found is not None
    assert found.isoformat(timespec="minutes") == f"{next_run}+00:00"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected five fields, minute hour day month weekday, such as"),
        ("daily", "expected five fields"),
        ("0 3 * *", "expected five fields"),
        ("0 0 3 * * *", "omit the seconds, which are always 0"),
        ("61 * * * *", "expected 0 to 59 for the minute, not '61'"),
        ("0 24 * * *", "expected 0 to 23 for the hour, not '24'"),
        ("0 0 0 * *", "expected 1 to 31 for the day, not '0'"),
        ("0 0 * foo *", "expected 1 to 12 or jan to dec for the month, not 'foo'"),
        ("0 0 * * 8", "expected 0 to 7 or sun to sat for the weekday, not '8'"),
        ("5-1 * * * *", "expected an ascending range for the minute, not '5-1'"),
        ("*/0 * * * *", "expected an ascending range for the minute, not '[*]/0'"),
        ("0 3 * * 1-", "expected a value such as 5, 1-5, [*]/5 or 1,3,5 for the weekday, not '1-'"),
        ("0 0 31 2 *", "expected a day that exists in one of its months"),
        ("0 0 30,31 feb *", "expected a day that exists in one of its months"),
    ],
)
def test_wrong_cron_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadParameter, match=f"parameter 'cron' is .*; {sentence}"):
        Cron.parse(text)


def test_create_uploads_a_version_and_schedules_it(serve: Serve) -> None:
    server = serve()
    made = make(server, name="nightly", experiment="trials", max_concurrency=2, cron="0 3 * * mon-fri")
    (found,) = server.schedules
    (version,) = server.versions
    assert found.recurring_run_id == made.schedule_id
    assert found.display_name == "nightly"
    assert found.trigger.cron_schedule.cron == "0 0 3 * * 1,2,3,4,5"
    assert found.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    assert found.runtime_config.parameters == {"factor": 2.0}
    assert (found.max_concurrency, found.no_catchup, found.status) == ("2", True, "ENABLED")
    assert found.experiment_id == server.experiments[0].experiment_id


def test_catching_up_is_asked_for(serve: Serve) -> None:
    server = serve()
    make(server, catch_up=True)
    assert server.schedules[0].no_catchup is False
    assert schedule.schedules(at(server))[0].catch_up is True


def test_schedules_are_listed_paused_resumed_and_removed(serve: Serve) -> None:
    server = serve(page_size=1)
    make(server, name="nightly")
    make(server, name="weekly", cron="@weekly")
    kubeflow = at(server)
    assert [(one.name, one.cron, one.active) for one in schedule.schedules(kubeflow)] == [
        ("nightly", "0 3 * * *", True), ("weekly", "0 0 * * 0", True),
    ]  # fmt: skip
    schedule.pause(kubeflow, "nightly")
    paused, running = schedule.schedules(kubeflow)
    assert (paused.active, paused.next_run) == (False, None)
    assert running.next_run is not None
    schedule.resume(kubeflow, paused.schedule_id)
    assert all(one.active for one in schedule.schedules(kubeflow))
    schedule.remove(kubeflow, "weekly")
    assert [one.display_name for one in server.schedules] == ["nightly"]


def test_a_schedule_by_interval_is_listed_too(serve: Serve) -> None:
    server = serve()
    make(server)
    trigger = server.schedules[0].trigger
    trigger.cron_schedule, trigger.periodic_schedule = None, {"interval_second": "3600"}
    (found,) = schedule.schedules(at(server))
    assert (found.cron, found.next_run) == ("every 3600 s", None)


def test_an_unknown_schedule_names_the_nearest(serve: Serve) -> None:
    server = serve()
    with pytest.raises(InputError, match=rf"no schedule 'nightly' at {server.address}; there are no schedules"):
        schedule.pause(at(server), "nightly")
    make(server, name="nightly")
    with pytest.raises(
        InputError, match=r"no schedule 'nightli' at .* \(did you mean 'nightly'\?\); run 'stagewright schedule list'"
    ):
        schedule.remove(at(server), "nightli")


def test_a_name_that_is_taken_is_refused_and_one_that_two_have_asks_for_an_id(serve: Serve) -> None:
    server = serve()
    make(server, name="nightly")
    with pytest.raises(InputError, match=r"schedule 'nightly' exists \(0 3 \* \* \*\); choose another name"):
        make(server, name="nightly")
    make(server, name="other")
    server.schedules[1].display_name = "nightly"
    with pytest.raises(InputError, match="2 schedules have the name 'nightly'; use the id of one: "):
        schedule.remove(at(server), "nightly")
    assert len(server.schedules) == 2


@pytest.mark.parametrize("number", [0, 11])
def test_concurrency_is_limited_as_the_server_limits_it(serve: Serve, number: int) -> None:
    server = serve()
    with pytest.raises(BadParameter, match=f"parameter 'max_concurrency' is {number}; expected a number from 1 to 10"):
        make(server, max_concurrency=number)
    assert server.requests == []


def test_wrong_cron_and_arguments_are_refused_before_anything_is_sent(serve: Serve) -> None:
    server = serve()
    with pytest.raises(BadParameter, match="parameter 'cron'"):
        make(server, cron="never")
    with pytest.raises(InputError, match="pipeline 'small-one' needs --factor"):
        create(small_one, {}, Connection(server.address), cron="0 3 * * *")
    assert server.requests == []


def test_namespace_and_token_go_with_every_call(serve: Serve) -> None:
    server = serve(token="abc", multi_user=True)
    make(server, token="abc", run_namespace="team", name="ours")
    make(server, token="abc", run_namespace="others", name="ours")
    assert [one.name for one in schedule.schedules(at(server, "team"))] == ["ours"]
    schedule.pause(at(server, "team"), "ours")
    assert [one.status for one in server.schedules] == ["DISABLED", "ENABLED"]
    assert {headers.get("authorization") for _, _, headers in server.requests} == {"Bearer abc"}
    assert [one.namespace for one in server.schedules] == ["team", "others"]
    with pytest.raises(InputError, match="is a multi-user installation; set your namespace with --kubeflow-namespace"):
        at(server)


def test_cookie_and_mounted_token_work_too(serve: Serve, tmp_path: Path) -> None:
    with_cookie = serve(cookie="authservice_session=abc")
    assert schedule.schedules(at(with_cookie)) == []
    (tmp_path / "token").write_text("mounted\n")
    with_token = serve(token="mounted")
    assert schedule.schedules(reach(Connection(with_token.address))) == []


def test_a_refused_schedule_is_one_sentence(serve: Serve) -> None:
    server = serve(token="x", multi_user=True, allowed=False)
    with pytest.raises(InputError, match=r"the token lacks permission \(403\): User may not list recurring runs in team"):
        make(server, token="x", run_namespace="team")
    with pytest.raises(InputError, match=r"rejected the token \(401\)"):
        reach(Connection(server.address, "y"))


def test_commands_from_the_first_to_the_last(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    host = ("--host", server.address)
    given = ("--model", "s3://models/churn/v1.0.0", "--name", "churn", "--deploy-to", "cluster")
    code, out, err = command(capsys, monkeypatch, "schedule", "create", "serving-setup", "--cron", "0 3 * * *", *given, *host)
    assert (code, err) == (0, "")
    assert out.startswith("scheduled 'serving-setup' (0 3 * * *), id ")
    assert server.schedules[0].runtime_config.parameters["name"] == "churn"
    code, out, _ = command(capsys, monkeypatch, "schedule", "list", *host)
    assert out.split()[:7] == ["serving-setup", "0", "3", "*", "*", "*", "next"]
    code, out, _ = command(capsys, monkeypatch, "schedule", "pause", "serving-setup", *host)
    assert out == "paused 'serving-setup'; a current run continues\n"
    code, out, _ = command(capsys, monkeypatch, "schedule", "list", "--json", *host)
    assert [(one["name"], one["active"]) for one in json.loads(out)["schedules"]] == [("serving-setup", False)]
    code, out, _ = command(capsys, monkeypatch, "schedule", "resume", "serving-setup", *host)
    assert out == "resumed 'serving-setup'\n"
    code, out, _ = command(capsys, monkeypatch, "schedule", "remove", "serving-setup", *host)
    assert out == "removed 'serving-setup'; its runs are kept\n"
    code, out, _ = command(capsys, monkeypatch, "schedule", "list", *host)
    assert (code, out) == (0, "no schedules\n")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("create", "trane-model", "--cron", "@daily"), 2, "no pipeline 'trane-model' (did you mean 'train-model'?)"),
        (
            ("create", "serving-setup", "--model", "model.onnx", "--name", "churn", "--deploy-to", "none", "--cron", "@daily"),
            2, "parameter 'model' is model.onnx, a local path",
        ),
        (
            ("create", "serving-setup", "--model", "s3://m/x", "--name", "churn", "--deploy-to", "none", "--cron", "noon"),
            2, "parameter 'cron' is 'noon'; expected five fields",
        ),
        (("remove", "nightly", "--host", "http://127.0.0.1:9"), 1, "http://127.0.0.1:9 does not respond"),
    ],
)  # fmt: skip
def test_wrong_commands_are_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    ended, _, err = command(capsys, monkeypatch, "schedule", *words)
    assert (ended, err.count("\n")) == (code, 1)
    assert err.startswith(f"error: {sentence}")


def test_a_host_that_does_not_answer_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127.0.0.1:9 does not respond \(.*\); check the address"):
        reach(Connection("http://127.0.0.1:9"))

"""Versions are uploaded and runs started through the API's own client against a server that follows it."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from support.kfp_server import KfpServer, serving
from support.kfp_workflow import Plan
from support.small_pipeline import small_one

from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable
from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.kubeflow import connection
from stagewright.pipelines.kubeflow import follow as following
from stagewright.pipelines.kubeflow.compile import compile_pipelines
from stagewright.pipelines.kubeflow.submit import submit

Serve = Callable[..., KfpServer]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(KfpServer(**settings)))


def start(server: KfpServer, arguments: dict[str, Any] | None = None, **settings: Any) -> Any:
    given = {"factor": 2.0} if arguments is None else arguments
    return submit(small_one, given, **{"host": server.address, "profile": None, **settings})


def test_submit_starts_a_run_of_the_compiled_pipeline(serve: Serve) -> None:
    server = serve()
    started = start(
        server,
        {"factor": 2.0, "rows": 5, "extra": {"a": [1]}},
        experiment="trials",
        profile="small",
        registry="r.example/x",
        tag="v1",
    )
    (run,) = server.runs
    assert run.run_id == started.run_id
    assert run.runtime_config.parameters == {"factor": 2.0, "rows": 5, "extra": {"a": [1]}}
    assert [experiment.display_name for experiment in server.experiments] == ["trials"]
    assert started.url == f"{server.address}/#/runs/details/{started.run_id}"
    assert started.url in started.message
    executors = json_format.MessageToDict(server.specs[0].deployment_spec)["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {
        "r.example/x/stagewright-base:v1", "r.example/x/stagewright-tabular:v1"
    }  # fmt: skip
    assert "stagewright-storage" in str(server.platforms[0])


def test_submit_uses_an_experiment_that_exists(serve: Serve) -> None:
    server = serve()
    first, second = start(server), start(server)
    assert first.experiment_id == second.experiment_id
    assert len(server.experiments) == 1
    assert len(server.runs) == 2


def test_submit_passes_root_service_account_and_cache_choice(serve: Serve) -> None:
    server = serve()
    start(server, pipeline_root="s3://runs/x", service_account="runner", use_cache=False)
    assert server.runs[0].runtime_config.pipeline_root == "s3://runs/x"
    assert server.runs[0].service_account == "runner"
    graphs = [server.specs[0].root.dag, *(part.dag for part in server.specs[0].components.values())]
    assert not any(task.caching_options.enable_cache for graph in graphs for task in graph.tasks.values())


def test_equal_content_is_uploaded_once(serve: Serve) -> None:
    server = serve()
    first, second = start(server), start(server, {"factor": 3.0})
    assert (first.version.new, second.version.new) == (True, False)
    assert first.version.version_id == second.version.version_id
    assert len(server.versions) == 1
    assert server.sent("POST", "/pipelines") == 1
    assert server.sent("POST", "/pipelines/upload_version") == 1
    changed = start(server, tag="v2")
    assert changed.version.new
    assert [version.name for version in server.versions] == [first.version.name, changed.version.name]
    assert changed.version.name.startswith("small-one-v2-")


def test_a_version_is_named_as_the_kubernetes_object_is(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    started = start(server, tag="v1", profile="small")
    (path,) = compile_pipelines([small_one], tmp_path, tag="v1", profile="small", format="kubernetes")
    documents = {document["kind"]: document for document in yaml.safe_load_all(path.read_text())}
    version = documents["PipelineVersion"]
    assert started.version.name == version["metadata"]["name"]
    assert server.versions[0].display_name == version["spec"]["displayName"]
    assert (server.pipelines[0].name, server.pipelines[0].display_name) == ("small-one", "A small one")


def test_a_version_that_another_uploads_at_the_same_time_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    other = start(server)
    seen: list[str] = []
    real = server._list_versions

    def late(pipeline_id: str, **given: Any) -> Any:
        seen.append(pipeline_id)
        return real(pipeline_id if len(seen) > 1 else "nothing yet", **given)

    monkeypatch.setattr(server, "_list_versions", late)
    assert start(server).version.version_id == other.version.version_id
    assert len(server.versions) == 1
    assert len(seen) == 2


def test_users_have_pipelines_of_their_own(serve: Serve) -> None:
    server = serve(token="abc", multi_user=True)
    for namespace in ("team", "others", "team"):
        start(server, token="abc", run_namespace=namespace)
    assert [pipeline.namespace for pipeline in server.pipelines] == ["team", "others"]
    assert len(server.versions) == 2


def test_submit_prints_nothing(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    start(serve())
    assert capsys.readouterr() == ("", "")


def test_token_is_sent_with_every_request(serve: Serve) -> None:
    server = serve(token="abc", multi_user=True)
    start(server, token="abc", run_namespace="team")
    assert {headers.get("authorization") for _, _, headers in server.requests} == {"Bearer abc"}
    assert server.experiments[0].namespace == "team"
    assert any("namespace=team" in target for _, target, _ in server.requests)


def test_cookie_is_sent_with_every_request(serve: Serve) -> None:
    server = serve(cookie="authservice_session=abc", multi_user=True)
    start(server, cookie="authservice_session=abc", run_namespace="kubeflow")
    assert {headers.get("cookie") for _, _, headers in server.requests} == {"authservice_session=abc"}
    assert server.experiments[0].namespace == "kubeflow"


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_service_account_token_is_read_from_its_file(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    file = tmp_path / "token"
    file.write_text("mounted\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file) if by == "environment" else "")
    server = serve(token="mounted")
    start(server, service_account_token=str(file) if by == "argument" else None)
    assert len(server.runs) == 1


def test_pod_gives_its_own_namespace(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("pods-own")
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    server = serve(multi_user=True)
    start(server)
    assert server.experiments[0].namespace == "pods-own"


def test_kubeconfig_context_goes_through_the_api_server(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(prefix="/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy", token="of-kubeconfig")
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server.address}}],
        "users": [{"name": "me", "user": {"token": "of-kubeconfig"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://elsewhere.invalid")  # what is named comes first
    # The kubernetes client reads KUBECONFIG when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    started = start(server, host=None, kube_context="here")
    assert len(server.runs) == 1
    assert started.url is None
    with pytest.raises(InputError, match="context 'there' of the kubeconfig cannot be used"):
        start(server, host=None, kube_context="there")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"pipeline 'small-one' needs --factor"),
        ({"factor": 1.0, "row": 2}, r"pipeline 'small-one' has no parameter 'row' \(did you mean 'rows'\?\)"),
        ({"factor": "two"}, r"parameter 'factor' is 'two'; expected a value of type float"),
        ({"factor": 1.0, "rows": True}, r"parameter 'rows' is True; expected a value of type int"),
        (
            {"factor": 1.0, "label": "lout"},
            r"parameter 'label' is 'lout'; expected one of plain, loud \(did you mean 'loud'\?\)",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(serve: Serve, arguments: dict[str, Any], message: str) -> None:
    server = serve()
    with pytest.raises(InputError, match=message):
        start(server, arguments)
    assert server.requests == []


@pytest.mark.parametrize(
    ("server", "given", "kind", "message"),
    [
        ({"token": "x"}, {}, InputError, "requires authentication; set --token, --cookie"),
        ({"login_page": True}, {}, InputError, "requires authentication; "),
        ({"token": "x"}, {"token": "y"}, InputError, r"rejected the token \(401\): it has expired"),
        ({"cookie": "a=x"}, {"cookie": "a=y"}, InputError, r"rejected the cookie \(401\)"),
        (
            {"token": "x", "multi_user": True, "allowed": False}, {"token": "x", "run_namespace": "other"}, InputError,
            r"the token lacks permission \(403\): User may not list experiments in other; check --kubeflow-namespace",
        ),
        ({"multi_user": True}, {}, InputError, "is a multi-user installation; set your namespace with --kubeflow-namespace"),
        ({"api": "v1beta1"}, {}, ServiceUnavailable, "responds, but has no Kubeflow Pipelines API v2beta1"),
        ({"broken": True}, {}, ServiceUnavailable, "failed with status 500: database is gone"),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence(
    serve: Serve, server: dict[str, Any], given: dict[str, Any], kind: type[Exception], message: str
) -> None:
    standing = serve(**server)
    with pytest.raises(kind, match=message) as refused:
        start(standing, **given)
    assert "\n" not in str(refused.value)
    assert standing.address in str(refused.value) or "the token" in str(refused.value)
    assert standing.runs == []


def test_host_that_does_not_answer_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServiceUnavailable, match=rf"{host} does not respond \(.*Connection refused\); check the address"):
            submit(small_one, {"factor": 1.0}, host=host)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no Kubeflow Pipelines host; set --host or KFP_HOST"),
        ({"host": "http://x", "kube_context": "y"}, "host http://x and context 'y' exclude each other; give one of them"),
        ({"host": "localhost:8080"}, "host 'localhost:8080' has no scheme; write http://localhost:8080 or https"),
        (
            {"host": "http://x", "service_account_token": "/nowhere/token"},
            "service-account token /nowhere/token does not exist",
        ),
        ({"host": "http://x", "certificate": "/nowhere/ca.pem"}, "certificate /nowhere/ca.pem does not exist"),
        ({"host": "http://x", "profile": "gpus"}, r"no profile 'gpus' \(did you mean 'gpu'\?\)"),
    ],
)
def test_unusable_settings_are_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        submit(small_one, {"factor": 1.0}, **settings)


def test_tag_that_may_change_is_refused() -> None:
    with pytest.raises(BadParameter, match="a fixed tag, such as a version"):
        submit(small_one, {"factor": 1.0}, host="http://x", tag="latest")


GIVEN = ("submit", "serving-setup", "--model", "s3://models/churn/v1.0.0", "--name", "churn", "--deploy-to", "cluster")


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stagewright", *words])
    monkeypatch.setattr(following, "INTERVAL", 0.01)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


def test_command_does_not_follow_where_no_terminal_watches(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    code, out, err = command(capsys, monkeypatch, *GIVEN, "--host", server.address)
    (run,) = server.runs
    assert code == 0
    assert [line.split(": ")[0] for line in err.splitlines()] == ["submitted without checking the cluster"]  # no kubeconfig
    started, uploaded, later = out.splitlines()
    assert started.startswith("started 'serving-setup ")
    assert uploaded == f"uploaded version {server.versions[0].name}"
    assert later == f"to follow the run: stagewright follow {run.run_id} --host {server.address}"
    assert server.sent("GET", f"/runs/{run.run_id}") == 0


def test_command_follows_to_the_end(serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(plan=Plan(says={"import-model": ("the graph has no names",)}))
    code, out, _ = command(capsys, monkeypatch, *GIVEN, "--host", server.address, "--follow")
    assert code == 0
    assert out.splitlines()[3] == "  the graph has no names"  # below its step
    steps = [line.split()[1] for line in out.splitlines() if line.startswith("✔")]
    assert steps == ["import-model", "register-model", "publish-model", "deploy-model", "promote-model"]
    assert "succeeded after" in out


def test_command_ends_with_1_where_the_run_fails(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"import-model": ("the graph has no names",)}
    server = serve(plan=Plan(fails={"publish-model": "the object store does not answer"}, says=said))
    code, out, _ = command(capsys, monkeypatch, *GIVEN, "--host", server.address, "--follow", "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["pipeline"], document["status"]) == ("serving-setup", "failed")
    assert document["version"] == server.versions[0].name
    assert document["notices"] == [{"step": "import-model", "message": "the graph has no names"}]
    assert document["error"] == {"step": "publish-model", "message": "the object store does not answer"}


def test_command_prints_one_json_object_for_a_run_that_it_does_not_follow(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(multi_user=True, cookie="authservice_session=abc")
    words = (*GIVEN, "--host", server.address, "--cookie", "authservice_session=abc", "--kubeflow-namespace", "team")
    code, out, _ = command(capsys, monkeypatch, *words, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["run_id"], document["status"], document["steps"]) == (server.runs[0].run_id, "pending", [])
    assert document["url"] == f"{server.address}/#/runs/details/{document['run_id']}"

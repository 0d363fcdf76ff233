"""Why a step failed on a cluster, and why one does not begin: from the API, the dashboard, Kubernetes and the object store."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import kubernetes_server
from support.kfp_server import KfpServer, serving
from support.kfp_workflow import Plan
from support.kubernetes_server import KubernetesServer, kubeconfig
from support.small_pipeline import small_one

from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.kubeflow import connection, failures, waiting
from stagewright.pipelines.kubeflow import follow as following
from stagewright.pipelines.kubeflow.follow import RemoteRun, follow
from stagewright.pipelines.kubeflow.submit import submit

Serve = Callable[..., KfpServer]
SENTENCE = "the data has no column 'churn' (did you mean 'churned'?)"
FAILS = {"count-rows": SENTENCE}
PODS, EVENTS = "/api/v1/namespaces/team/pods", "/api/v1/namespaces/team/events"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/team/workflows"
MINIO_CA = 'MountVolume.SetUp failed for volume "minio-ca" : configmap "minio-ca" not found'


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings, and no waiting."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_HOST", "KUBERNETES_SERVICE_HOST", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")
    monkeypatch.setattr(following, "INTERVAL", 0.01)
    for name in ("ASK_EVERY", "BEGINS_WITHIN"):
        monkeypatch.setattr(waiting, name, 0.0)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(KfpServer(**settings)))


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesServer]:
    with kubernetes_server.serving(KubernetesServer()) as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.address, namespace="team")))
        yield server


def followed(server: KfpServer, before: Callable[[Any], None] = lambda _: None) -> tuple[RemoteRun, list[str]]:
    """Start a run and follow it; the run, and what was noticed."""
    started = submit(small_one, {"factor": 2.0}, host=server.address, profile=None)
    before(server.workflows[started.run_id])
    heard: list[str] = []
    return follow(started.kubeflow, started.run_id, notice=heard.append), heard


def pod(workflow: Any, step: str, attempt: int, status: dict[str, Any]) -> dict[str, Any]:
    """A pod of a run as Kubernetes has it."""
    (node, name), *_ = [(one[2], one[3]) for one in workflow._pods() if one[:2] == (step, attempt)]
    path = f"{workflow.name}.root.{step}.executor({attempt})"
    return {
        "metadata": {
            "name": name, "namespace": "team", "labels": {"pipeline/runid": workflow.run_id},
            "creationTimestamp": f"2026-03-01T12:00:0{attempt}Z",
            "annotations": {"workflows.argoproj.io/node-id": node, "workflows.argoproj.io/node-name": path},
        },
        "status": status,
    }  # fmt: skip


def ended(reason: str, code: int) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, "exitCode": code}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}


def error_of(run: RemoteRun) -> str | None:
    assert run.failed_step is not None
    assert run.failed_step.name == "count-rows"
    return run.failed_step.error


def test_the_last_attempt_tells(serve: Serve) -> None:
    def log(line: str, attempt: int) -> bytes:
        return line.replace("churn", f"of attempt {attempt}", 1).encode()

    run, _ = followed(serve(plan=Plan(fails=FAILS, attempts=3, log=log)))
    assert error_of(run) == "the data has no column 'of attempt 2' (did you mean 'churned'?)"


def test_a_long_log_with_a_prefix_and_bytes_that_are_no_text(serve: Serve) -> None:
    def log(line: str, _: int) -> bytes:
        noise = b"\xff\xfe progress 1%\r" * 100_000
        return noise + b"\n2026-03-01T12:00:00Z stderr F " + line.encode() + b"\nI0301 launcher\n" * 1000

    assert error_of(followed(serve(plan=Plan(fails=FAILS, log=log)))[0]) == SENTENCE


@pytest.mark.parametrize("everywhere", [True, False])
def test_kubernetes_tells_what_the_api_does_not(serve: Serve, kubernetes: KubernetesServer, everywhere: bool) -> None:
    def put(workflow: Any) -> None:
        pods = [pod(workflow, "count-rows", attempt, ended("Error", 2)) for attempt in (0, 1)]
        kubernetes.add(PODS, *pods)
        for number, one in enumerate(pods):
            entry = {"time": "1", "event": "step_failed", "error": f"attempt {number}: {SENTENCE}"}
            kubernetes.logs[one["metadata"]["name"]] = f"{json.dumps(entry)}\nF0301 main.go:62] exit".encode()

    kubernetes.everywhere = everywhere
    run, _ = followed(serve(plan=Plan(fails=FAILS, told_in="nowhere", attempts=2)), put)
    assert error_of(run) == f"attempt 1: {SENTENCE}"
    logs = [path for path in kubernetes.requests if "/log?" in path]
    assert len(logs) == 1
    assert logs[0].endswith("/log?container=main&tailLines=2000")


def test_a_killed_step_is_explained_though_an_earlier_attempt_had_a_sentence(
    serve: Serve, kubernetes: KubernetesServer
) -> None:
    def put(workflow: Any) -> None:
        kubernetes.add(PODS, pod(workflow, "count-rows", 0, ended("Error", 1)))
        kubernetes.add(PODS, pod(workflow, "count-rows", 1, ended("OOMKilled", 137)))

    run, _ = followed(serve(plan=Plan(fails=FAILS, attempts=2)), put)
    assert error_of(run) == "was killed: out of memory (exit code 137)"


@pytest.mark.parametrize("told_in", ["log", "archive"])
def test_a_kubernetes_that_refuses_is_no_hindrance(serve: Serve, kubernetes: KubernetesServer, told_in: str) -> None:
    kubernetes.forbidden = ("/",)
    run, heard = followed(serve(plan=Plan(fails=FAILS, told_in=told_in)))
    assert (error_of(run), heard) == (SENTENCE, [])


def test_a_kubernetes_that_is_gone_is_no_hindrance(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))
    run, heard = followed(serve(plan=Plan(fails=FAILS)))
    assert (error_of(run), heard) == (SENTENCE, [])


def test_the_launchers_copy_in_the_object_store_tells(serve: Serve, object_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "DEFAULT_ROOT", "s3://pipelines-of-a-test/runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    store = ObjectStore.from_environment("this test")
    store.ensure_bucket("pipelines-of-a-test")

    def put(workflow: Any) -> None:
        entry = json.dumps({"time": "1", "event": "step_failed", "error": SENTENCE})
        folder = f"s3://pipelines-of-a-test/runs/small-one/{workflow.run_id}/count-rows/{workflow.run_id}"
        store.write(f"{folder}/executor-logs", f"{'x' * 3_000_000}\n{entry}\nlauncher".encode())

    run, _ = followed(serve(plan=Plan(fails=FAILS, told_in="nowhere")), put)
    assert error_of(run) == SENTENCE


def test_a_step_without_a_word_points_to_its_log(serve: Serve, kubernetes: KubernetesServer) -> None:
    def put(workflow: Any) -> None:
        kubernetes.add(PODS, pod(workflow, "count-rows", 0, ended("Error", 1)))

    run, _ = followed(serve(plan=Plan(fails=FAILS, told_in="nowhere", attempts=1)), put)
    assert error_of(run) == "the step ended without an error message; see its log on the dashboard"


def test_what_a_pod_waits_for_is_told_once_by_kubernetes(serve: Serve, kubernetes: KubernetesServer) -> None:
    def put(workflow: Any) -> None:
        status = {
            "phase": "Pending",
            "initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "PodInitializing"}}}],
        }
        made = pod(workflow, "count-rows", 0, status)
        kubernetes.add(PODS, made)
        about = {"involvedObject": {"name": made["metadata"]["name"]}, "metadata": {"name": "e"}}
        kubernetes.add(EVENTS, {**about, "type": "Warning", "reason": "FailedMount", "message": MINIO_CA})

    run, heard = followed(serve(plan=Plan(attempts=1)), put)
    assert run.status == "succeeded"
    assert heard == ['count-rows waits: configmap "minio-ca" not found (FailedMount)']


def test_what_a_pod_waits_for_is_told_by_the_dashboard(serve: Serve) -> None:
    run, heard = followed(serve(plan=Plan(attempts=1, waits={"count-rows": (3, MINIO_CA)}), dashboard=True))
    assert run.status == "succeeded"
    assert heard == ['count-rows waits: configmap "minio-ca" not found (FailedMount)']


def test_a_pod_that_may_not_be_made_is_told(serve: Serve, kubernetes: KubernetesServer) -> None:
    quota = (
        'pods "w" is forbidden: exceeded quota: stagewright, requested: limits.cpu=4, used: limits.cpu=6, limited: limits.cpu=8'
    )

    def put(workflow: Any) -> None:
        nodes = {
            "w-1": {
                "type": "Pod",
                "phase": "Pending",
                "name": f"{workflow.name}.root.count-rows.executor(0)",
                "message": quota,
            },
            "w-2": {
                "type": "Pod",
                "phase": "Pending",
                "name": f"{workflow.name}.root.a.executor",
                "message": "PodInitializing",
            },
            "w-3": {"type": "DAG", "phase": "Running", "name": f"{workflow.name}.root"},
        }
        labels = {"pipeline/runid": workflow.run_id}
        kubernetes.add(
            WORKFLOWS, {"metadata": {"name": "w", "namespace": "team", "labels": labels}, "status": {"nodes": nodes}}
        )

    _, heard = followed(serve(), put)
    assert heard == [f"count-rows waits: {quota}"]


def test_where_nobody_can_be_asked_the_command_that_tells_is_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SILENT_AFTER", 0.0)
    server = serve(plan=Plan(waits={"count-rows": (3, MINIO_CA)}))
    run, heard = followed(server)
    assert heard[-1] == (
        "count-rows has not started, and its pod cannot be read from here; to see its state: "
        f"kubectl -A describe workflows,pods -l pipeline/runid={run.run_id}"
    )


def test_before_its_time_nothing_is_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEGINS_WITHIN", "SILENT_AFTER"):
        monkeypatch.setattr(waiting, name, 3600.0)
    assert followed(serve(plan=Plan(waits={"count-rows": (3, MINIO_CA)}), dashboard=True))[1] == []


NOTICES = {"make-table": ("a column was left out", "two rows were dropped"), "count-rows": ("there are few rows",)}


@pytest.mark.parametrize("told_in", ["log", "archive"])
def test_the_notices_of_steps_are_those_of_their_logs(serve: Serve, told_in: str) -> None:
    run, heard = followed(serve(plan=Plan(says=NOTICES, told_in=told_in)))
    assert {step.name: tuple(step.notices) for step in run.steps} == {**NOTICES, "count-rows-2": ()}
    assert (run.status, heard) == ("succeeded", [])


def test_a_failed_step_has_its_notices_too(serve: Serve) -> None:
    run, _ = followed(serve(plan=Plan(fails=FAILS, says=NOTICES)))
    assert error_of(run) == SENTENCE
    assert [step.notices for step in run.steps] == [list(NOTICES["make-table"]), list(NOTICES["count-rows"])]


def test_notices_come_from_pods_where_the_api_has_no_logs(serve: Serve, kubernetes: KubernetesServer) -> None:
    def put(workflow: Any) -> None:
        made = pod(workflow, "make-table", 0, {"phase": "Succeeded"})
        kubernetes.add(PODS, made)
        kubernetes.logs[made["metadata"]["name"]] = json.dumps({"event": "notice", "message": "from the pod"}).encode()

    run, _ = followed(serve(plan=Plan(told_in="nowhere", attempts=1)), put)
    assert [step.notices for step in run.steps] == [["from the pod"], [], []]


def test_an_object_store_that_is_away_is_waited_for_once(
    serve: Serve, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(failures, "_PATIENCE", 0.0)
    real = ObjectStore.list
    monkeypatch.setattr(ObjectStore, "list", lambda store, uri: asked.append(uri) or real(store, uri))
    run, _ = followed(serve(plan=Plan(told_in="archive")), lambda workflow: setattr(workflow, "archived", lambda _: None))
    assert run.status == "succeeded"
    assert len(asked) == 1

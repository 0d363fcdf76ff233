"""What `submit` looks at before it submits: certain failures are refused, and what cannot be looked at is one notice."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import kubernetes_server
from support.kfp_server import KfpServer, serving
from support.kubernetes_server import KubernetesServer, kubeconfig
from support.prepared_cluster import CORE, RUNTIMES, named, prepared

from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.kubeflow import connection
from stagewright.pipelines.kubeflow.doctor.needs import mounted
from stagewright.pipelines.kubeflow.upload import Build, build

GIVEN = (
    "submit",
    "serving-setup",
    "--model",
    "s3://models/churn/v1.0.0",
    "--name",
    "churn",
    "--service-account",
    "stagewright-runner",
)
Submit = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesServer]:
    with kubernetes_server.serving(prepared()) as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.address)))
        yield server


@pytest.fixture
def kubeflow() -> Iterator[KfpServer]:
    with serving(KfpServer()) as server:
        yield server


@pytest.fixture
def submit(kubeflow: KfpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Submit:
    """Runs the command; its exit code and the lines on standard error."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_HOST", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")

    def run(*words: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["stagewright", *GIVEN, "--host", kubeflow.address, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err.splitlines()

    return run


def without(cluster: KubernetesServer, collection: str, name: str) -> None:
    cluster.objects[collection] = [one for one in cluster.objects[collection] if one["metadata"]["name"] != name]


def test_a_cluster_that_has_everything_gets_the_run(cluster: KubernetesServer, kubeflow: KfpServer, submit: Submit) -> None:
    assert submit("--deploy-to", "cluster") == (0, [])
    assert len(kubeflow.runs) == 1
    assert any(path.startswith(f"{CORE}/secrets/stagewright-storage") for path in cluster.requests)


@pytest.mark.parametrize(
    ("collection", "name", "says"),
    [
        (
            f"{CORE}/secrets",
            "stagewright-storage",
            "Secret stagewright/stagewright-storage does not exist; stagewright secrets",
        ),
        (f"{CORE}/configmaps", "stagewright-config", "ConfigMap stagewright/stagewright-config does not exist; kubectl apply"),
        (f"{CORE}/serviceaccounts", "stagewright-runner", "ServiceAccount stagewright/stagewright-runner does not exist"),
        (f"{CORE}/serviceaccounts", "stagewright-predictor", "ServiceAccount stagewright/stagewright-predictor does not exist"),
        ("/apis/serving.kserve.io", "v1beta1", "KServe's InferenceService (v1beta1) does not exist; install KServe"),
        (RUNTIMES, "stagewright-predictor", "ServingRuntime stagewright/stagewright-predictor does not exist"),
    ],
)
def test_what_is_missing_is_one_sentence_and_nothing_is_submitted(
    cluster: KubernetesServer, kubeflow: KfpServer, submit: Submit, collection: str, name: str, says: str
) -> None:
    without(cluster, collection, name)
    code, (line,) = submit("--deploy-to", "cluster")
    assert code == 2
    assert line.startswith(f"error: the run would fail on the cluster at {cluster.address}: {says}")
    assert line.endswith("; use --no-checks to submit anyway")
    assert (kubeflow.runs, kubeflow.versions) == ([], [])


def test_everything_that_is_missing_is_in_the_sentence(cluster: KubernetesServer, submit: Submit) -> None:
    without(cluster, f"{CORE}/secrets", "stagewright-storage")
    del cluster.objects[f"{CORE}/configmaps"][0]["data"]["MLFLOW_TRACKING_URI"]
    code, (line,) = submit("--deploy-to", "none")
    assert code == 2
    assert (
        "Secret stagewright/stagewright-storage does not exist and ConfigMap stagewright/stagewright-config has no key " in line
    )


def test_without_checks_it_is_submitted_and_nobody_is_asked(
    cluster: KubernetesServer, kubeflow: KfpServer, submit: Submit
) -> None:
    without(cluster, f"{CORE}/secrets", "stagewright-storage")
    assert submit("--deploy-to", "cluster", "--no-checks") == (0, [])
    assert (len(kubeflow.runs), cluster.requests) == (1, [])


@pytest.mark.parametrize(("to", "code"), [("cluster", 2), ("none", 0)])
def test_what_only_a_deployment_needs_is_asked_for_a_deployment(
    cluster: KubernetesServer, submit: Submit, to: str, code: int
) -> None:
    cluster.review = lambda spec: {"allowed": spec["resourceAttributes"]["resource"] != "inferenceservices"}
    without(cluster, "/apis/serving.kserve.io", "v1beta1")
    found, lines = submit("--deploy-to", to)
    assert found == code
    assert [("it may not get inferenceservices, create" in line) for line in lines] == [True] * len(lines)


def test_steps_must_be_able_to_report(cluster: KubernetesServer, submit: Submit) -> None:
    cluster.review = lambda spec: {"allowed": spec["resourceAttributes"]["resource"] != "workflowtaskresults"}
    code, (line,) = submit("--deploy-to", "none")
    assert code == 2
    assert (
        "rights of stagewright-runner it may not create workflowtaskresults, patch workflowtaskresults; bind the Role" in line
    )


def test_a_model_of_another_namespace_needs_rights_there(cluster: KubernetesServer, submit: Submit) -> None:
    asked: list[dict[str, Any]] = []
    cluster.review = lambda spec: asked.append(spec) or {"allowed": True}  # type: ignore[func-returns-value]
    code, (line,) = submit("--deploy-to", "cluster", "--namespace", "serving")
    assert code == 2
    assert "ServingRuntime serving/stagewright-predictor does not exist" in line
    assert {spec["user"] for spec in asked} == {"system:serviceaccount:stagewright:stagewright-runner"}
    places = {spec["resourceAttributes"]["resource"]: spec["resourceAttributes"]["namespace"] for spec in asked}
    assert places == {"workflowtaskresults": "stagewright", "inferenceservices": "serving", "pods": "serving"}


def test_a_runtime_of_the_whole_cluster_will_do(cluster: KubernetesServer, submit: Submit) -> None:
    without(cluster, RUNTIMES, "stagewright-predictor")
    cluster.add("/apis/serving.kserve.io/v1alpha1/clusterservingruntimes", *named("stagewright-predictor"))
    assert submit("--deploy-to", "cluster") == (0, [])


def test_without_a_kubeconfig_it_is_submitted_with_one_notice(
    kubeflow: KfpServer, submit: Submit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, (line,) = submit("--deploy-to", "cluster")
    assert code == 0
    assert line.startswith("submitted without checking the cluster: no Kubernetes cluster: ")
    assert len(kubeflow.runs) == 1


def test_a_kubernetes_that_does_not_answer_is_one_notice(
    kubeflow: KfpServer, submit: Submit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))
    code, (line,) = submit("--deploy-to", "cluster")
    assert (code, len(kubeflow.runs)) == (0, 1)
    assert line.startswith("submitted without checking the cluster: the Kubernetes API at http://127.0.0.1:1 does not respond")


def test_a_cluster_without_kubeflow_is_another_one(cluster: KubernetesServer, kubeflow: KfpServer, submit: Submit) -> None:
    without(cluster, f"{CORE}/services", "ml-pipeline")
    without(cluster, f"{CORE}/secrets", "stagewright-storage")
    code, (line,) = submit("--deploy-to", "cluster")
    assert (code, len(kubeflow.runs)) == (0, 1)
    assert f"the Kubernetes API at {cluster.address} has no Kubeflow Pipelines" in line


def test_what_may_not_be_looked_at_refuses_nothing(cluster: KubernetesServer, submit: Submit) -> None:
    cluster.forbidden = (f"{CORE}/secrets", f"{CORE}/configmaps", f"{CORE}/serviceaccounts", "/apis/")
    assert submit("--deploy-to", "cluster") == (0, [])


def test_a_default_account_that_is_not_there_proves_nothing(
    cluster: KubernetesServer, kubeflow: KfpServer, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "GIVEN", GIVEN[:-2])
    cluster.review = lambda _: {"allowed": False}
    assert submit("--deploy-to", "none") == (0, [])
    cluster.add(f"{CORE}/serviceaccounts", *named("pipeline-runner"))
    code, (line,) = submit("--deploy-to", "none")
    assert (code, len(kubeflow.runs)) == (2, 1)
    assert "rights of pipeline-runner it may not create workflowtaskresults" in line


def test_a_user_s_namespace_is_that_of_the_run(
    cluster: KubernetesServer, capsys: pytest.CaptureFixture[str], submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add("/api/v1/namespaces", *named("team"))
    with serving(KfpServer(multi_user=True)) as shared:
        code, (line,) = submit("--host", shared.address, "--kubeflow-namespace", "team", "--deploy-to", "none")
        assert (code, shared.runs) == (2, [])
        assert "Secret team/stagewright-storage does not exist" in line
        cluster.objects["/api/v1/namespaces"] = []
        code, (line,) = submit("--host", shared.address, "--kubeflow-namespace", "team", "--deploy-to", "none")
        assert (code, len(shared.runs)) == (0, 1)
        assert "has no Kubeflow Pipelines" in line


def test_what_pods_cannot_start_without_is_read_from_what_was_compiled() -> None:
    from stagewright.pipelines import catalog

    found = mounted(build(catalog.pipeline("serving-setup"), Build("production", "r.example.com/ml", "1")).documents)
    assert found.secrets == {"stagewright-storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}
    assert found.config_maps == {"stagewright-config": {"AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI"}, "minio-ca": set()}
    optional = {"secretAsEnv": [{"secretName": "s", "optional": True, "keyToEnv": []}]}
    assert mounted([{}, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"e": optional}}}}}]).secrets == {}
    assert mounted([{}]).config_maps == {}

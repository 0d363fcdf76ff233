"""`stagewright doctor` against a cluster that has everything, lacks one thing after the other, or may not be looked at."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import http_servers, kubernetes_server
from support.kfp_server import KfpServer, serving
from support.kubernetes_server import KubernetesServer, kubeconfig
from support.prepared_cluster import CORE, RUNTIMES, prepared

from stagewright.pipelines import profiles
from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.kubeflow import connection
from stagewright.pipelines.kubeflow.doctor import MISSING, OK, UNKNOWN, Finding
from stagewright.pipelines.kubeflow.doctor.images import images
from stagewright.pipelines.kubeflow.doctor.needs import RIGHTS, needs_of
from stagewright.pipelines.kubeflow.kubernetes_api import KubernetesApi

RUNNER = Path(__file__).parents[2] / "manifests/base/pipelines/runner.yaml"
Doctor = Callable[..., tuple[int, dict[str, Finding]]]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesServer]:
    """A cluster as docs/cluster.md makes it."""
    server = prepared()
    with kubernetes_server.serving(server):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.address)))
        yield server


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Doctor]:
    """Runs the command; its exit code and its findings."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_HOST", "KUBERNETES_SERVICE_HOST", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(connection, "TOKEN_FILE", tmp_path / "token")
    with serving(KfpServer()) as kubeflow:

        def run(*words: str) -> tuple[int, dict[str, Finding]]:
            given = ("doctor", "--host", kubeflow.address, "--tag", "0.1.0", *words, "--json")
            monkeypatch.setattr(sys, "argv", ["stagewright", *given])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            document = json.loads(capsys.readouterr().out)
            assert document["ok"] == (ended.value.code == 0)
            return int(ended.value.code or 0), {one["what"]: Finding(**one) for one in document["findings"]}

        yield run


def test_a_cluster_that_has_everything(cluster: KubernetesServer, doctor: Doctor) -> None:
    code, found = doctor()
    assert {what: one.state for what, one in found.items() if one.state != OK} == {}
    assert code == 0
    assert list(found)[1:4] == ["Kubernetes", "namespace stagewright", "ServiceAccount stagewright/stagewright-runner"]
    assert found["Kubernetes"].says == f"v1.34.4 at {cluster.address}"
    assert found["KServe's deployment mode"].says == "Standard by default; Standard is available; Knative is not installed"
    assert found["Service stagewright/mlflow"].says == "has ready pods"


@pytest.mark.parametrize(
    ("collection", "name", "what"),
    [
        ("/api/v1/namespaces", "stagewright", "namespace stagewright"),
        (f"{CORE}/serviceaccounts", "stagewright-runner", "ServiceAccount stagewright/stagewright-runner"),
        (f"{CORE}/serviceaccounts", "stagewright-predictor", "ServiceAccount stagewright/stagewright-predictor"),
        (f"{CORE}/secrets", "stagewright-storage", "Secret stagewright/stagewright-storage"),
        (f"{CORE}/secrets", "stagewright-artifacts", "Secret stagewright/stagewright-artifacts"),
        (f"{CORE}/configmaps", "kfp-launcher", "ConfigMap stagewright/kfp-launcher"),
        ("/apis/serving.kserve.io", "v1beta1", "KServe's InferenceService (v1beta1)"),
        ("/apis/serving.kserve.io", "v1alpha1", "KServe's ServingRuntime (v1alpha1)"),
        (RUNTIMES, "stagewright-predictor", "ServingRuntime stagewright/stagewright-predictor"),
    ],
)
def test_what_is_missing_is_named(cluster: KubernetesServer, doctor: Doctor, collection: str, name: str, what: str) -> None:
    cluster.objects[collection] = [one for one in cluster.objects[collection] if one["metadata"]["name"] != name]
    code, found = doctor()
    assert code == 1
    assert (found[what].state, found[what].says) == (MISSING, "does not exist")
    assert found[what].advice
    assert [one.what for one in found.values() if one.state == MISSING] == [what]


def test_a_key_that_is_missing_is_named(cluster: KubernetesServer, doctor: Doctor) -> None:
    del cluster.objects[f"{CORE}/secrets"][0]["data"]["AWS_SECRET_ACCESS_KEY"]
    code, found = doctor()
    assert code == 1
    assert found["Secret stagewright/stagewright-storage"].says == "has no key AWS_SECRET_ACCESS_KEY"


def test_what_the_profile_mounts_is_looked_for(cluster: KubernetesServer, doctor: Doctor) -> None:
    code, found = doctor("--profile", "production")
    assert code == 1
    assert [one.what for one in found.values() if one.state == MISSING] == ["ConfigMap stagewright/minio-ca"]


def test_rights_that_are_missing_are_named(cluster: KubernetesServer, doctor: Doctor) -> None:
    asked: list[dict[str, Any]] = []

    def review(spec: dict[str, Any]) -> dict[str, Any]:
        asked.append(spec)
        wanted = spec["resourceAttributes"]
        return {"allowed": (wanted["verb"], wanted["resource"]) != ("delete", "inferenceservices")}

    cluster.review = review
    code, found = doctor()
    assert code == 1
    assert found["rights of stagewright-runner"].says == "it may not delete inferenceservices"
    assert {spec["user"] for spec in asked} == {"system:serviceaccount:stagewright:stagewright-runner"}
    assert [spec["resourceAttributes"]["namespace"] for spec in asked] == ["stagewright"] * len(RIGHTS)


def test_rights_are_asked_within_the_namespace_where_they_may_not_be_asked_for_all(
    cluster: KubernetesServer, doctor: Doctor
) -> None:
    cluster.forbidden = ("/apis/authorization.k8s.io/v1/subjectaccessreviews",)
    assert doctor()[1]["rights of stagewright-runner"].state == OK
    cluster.forbidden = ("/apis/authorization.k8s.io/",)
    code, found = doctor()
    assert (code, found["rights of stagewright-runner"].state) == (0, UNKNOWN)


def test_what_may_not_be_looked_at_is_unknown(cluster: KubernetesServer, doctor: Doctor) -> None:
    cluster.forbidden = (CORE, "/api/v1/nodes", "/api/v1/namespaces")
    code, found = doctor()
    assert code == 0
    assert found["Secret stagewright/stagewright-storage"].state == UNKNOWN
    assert found["image stagewright-base:0.1.0"].state == UNKNOWN


def test_a_service_without_pods_is_missing(cluster: KubernetesServer, doctor: Doctor) -> None:
    cluster.objects[f"{CORE}/endpoints"][1]["subsets"] = [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]
    code, found = doctor()
    assert (code, found["Service stagewright/mlflow"].says) == (1, "has no ready pod")


def test_services_that_can_be_asked_are_asked(
    cluster: KubernetesServer, doctor: Doctor, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    monkeypatch.setenv("STAGEWRIGHT_MODELS_BUCKET", "never-made")
    with http_servers.serving(lambda exchange: http_servers.response(b"OK")) as tracking:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.address)
        code, found = doctor()
    assert code == 1
    assert found[f"bucket never-made of {object_store}"].state == MISSING
    assert found[f"MLflow at {tracking.address}"].state == OK


def test_without_a_kubeconfig_the_rest_is_looked_at(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, found = doctor()
    assert code == 0
    assert {what: one.state for what, one in found.items()} == {
        "Kubeflow Pipelines": OK, "Kubernetes": UNKNOWN, "object store": UNKNOWN, "MLflow": UNKNOWN,
        **{f"image stagewright-{group}:0.1.0": UNKNOWN for group in ("base", "predictor", "tabular")},
    }  # fmt: skip


def test_a_kubeflow_that_is_not_there_is_missing(
    cluster: KubernetesServer, doctor: Doctor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["stagewright", "doctor", "--host", "http://127.0.0.1:1", "--tag", "0.1.0"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1
    assert lines[0].startswith("missing  Kubeflow Pipelines: http://127.0.0.1:1 does not respond")
    assert lines[2] == "ok       namespace stagewright"


@pytest.mark.parametrize(("status", "state"), [(200, OK), (404, MISSING), (401, UNKNOWN), (403, UNKNOWN), (500, UNKNOWN)])
def test_a_registry_is_asked_for_the_manifest(status: int, state: str) -> None:
    with http_servers.serving(lambda exchange: http_servers.response(b"", status=status)) as registry:
        host = registry.address.removeprefix("http://")
        (found,) = images(["base"], registry=f"{host}/ml", tag="1", on_nodes=None)
    assert (found.what, found.state) == (f"image {host}/ml/stagewright-base:1", state)
    assert registry.requests[-1].startswith(b"HEAD /v2/ml/stagewright-base/manifests/1 HTTP/1.1\r\n")


def test_the_rights_are_those_of_the_manifests() -> None:
    roles = [one for one in yaml.safe_load_all(RUNNER.read_text()) if one["kind"] == "Role"]
    given = [rule for role in roles for rule in role["rules"]]
    for right in RIGHTS:
        assert any(
            right.group in rule["apiGroups"]
            and right.resource in rule["resources"]
            and right.verb in rule["verbs"]
            and (not rule.get("resourceNames") or right.name in rule["resourceNames"])
            for rule in given
        ), str(right)


def test_what_a_profile_needs() -> None:
    found = needs_of(profiles.load("production"))
    assert found.secrets["stagewright-storage"] == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert found.config_maps["minio-ca"] == {"cabundle.crt"}
    assert found.images == {"base", "predictor", "tabular"}


def test_a_context_is_chosen(cluster: KubernetesServer, tmp_path: Path) -> None:
    assert KubernetesApi.connect("test").get("/version") == {"gitVersion": "v1.34.4"}

"""The cluster target against an emulated API server, with a real predictor behind the service's address."""

from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import cluster as emulated
from support.cluster import KServeCluster, failing, failure, ready
from support.exported_models import write_wine_model
from support.predictors import predictor

from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable
from stagewright.components.serving import cluster as target
from stagewright.components.serving.cluster_client import Conflict
from stagewright.components.serving.inference_service import Replicas, inference_service

QUICK = {"timeout": 2.0, "poll": 0.05, "settle": 0.2}


def service(version: str = "v1.1.0", **changes: Any) -> dict[str, Any]:
    return inference_service(name="wine", version=version, model_uri=f"s3://models/wine/{version}/", **changes)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KServeCluster]:
    with emulated.running(tmp_path, patch=monkeypatch) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("wine") / "model")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[str]:
    """Address of a predictor that serves v1.1.0."""
    with predictor(model, name="wine", version="v1.1.0") as url:
        yield url


@pytest.fixture(scope="module")
def baseline(model: Path) -> bytes:
    return (model / "serving/baseline.parquet").read_bytes()


@pytest.fixture(scope="module")
def wrong_baseline(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What another model answers."""
    other = write_wine_model(tmp_path_factory.mktemp("other") / "model", wrong_baseline=True)
    return (other / "serving/baseline.parquet").read_bytes()


def deploy(document: dict[str, Any], baseline: bytes | None = None, **changes: Any) -> str:
    return target.deploy(document, baseline=baseline, **QUICK | changes)


def spec(cluster: KServeCluster) -> dict[str, Any]:
    found = cluster.service("wine")
    assert found is not None
    return found["spec"]


def test_a_new_service_is_created_and_answers(cluster: KServeCluster, served: str, baseline: bytes) -> None:
    cluster.controller = ready(served, after=3)

    assert deploy(service(), baseline) == served

    assert spec(cluster) == service()["spec"]
    [(document, query)] = cluster.applied
    assert document == service()
    assert query == {"fieldManager": "stagewright", "force": "false", "fieldValidation": "Strict"}
    assert cluster.authorizations == {"Bearer token-of-a-test"}


def test_an_existing_service_is_updated(cluster: KServeCluster, served: str, baseline: bytes) -> None:
    cluster.put(service("v1.0.0"), manager="stagewright")
    cluster.controller = ready(served, after=2)

    deploy(service(), baseline)

    found = cluster.service("wine")
    assert found is not None
    assert found["spec"]["predictor"]["model"]["storageUri"] == "s3://models/wine/v1.1.0"
    assert found["metadata"]["annotations"]["stagewright/version"] == "v1.1.0"
    assert found["metadata"]["generation"] == 2


def test_deploying_again_changes_nothing(cluster: KServeCluster, served: str, baseline: bytes) -> None:
    cluster.controller = ready(served)
    deploy(service(), baseline)

    deploy(service(), baseline)

    found = cluster.service("wine")
    assert found is not None
    assert found["metadata"]["generation"] == 1


def test_a_service_that_does_not_load_is_deleted_with_kserves_words(cluster: KServeCluster, baseline: bytes) -> None:
    cluster.controller = failing

    with pytest.raises(GateFailed) as failed:
        deploy(service(), baseline)

    assert str(failed.value) == (
        "the deployment of wine v1.1.0 to namespace 'default' did not pass: "
        "ModelLoadFailed (exit code 1): NoSuchBucket: the bucket does not exist; "
        "PredictorReady is False (MinimumReplicasUnavailable: no replicas); "
        "Ready is False (MinimumReplicasUnavailable); it was deleted again"
    )
    assert cluster.service("wine") is None


def test_a_version_that_does_not_load_gives_way_to_the_one_before(cluster: KServeCluster, baseline: bytes) -> None:
    cluster.put(service("v1.0.0", replicas=Replicas(1, 3)), manager="stagewright")
    before = spec(cluster)
    cluster.controller = failing

    with pytest.raises(GateFailed, match=r"ModelLoadFailed .*; the version v1.0.0 was restored$"):
        deploy(service(), baseline)

    assert spec(cluster) == before
    restored = cluster.service("wine")
    assert restored is not None
    assert restored["metadata"]["annotations"] == service("v1.0.0", replicas=Replicas(1, 3))["metadata"]["annotations"]
    assert restored["metadata"]["labels"]["app.kubernetes.io/version"] == "v1.0.0"


def test_a_failure_that_passes_is_waited_out(cluster: KServeCluster, served: str, baseline: bytes) -> None:
    at_last = ready(served)
    cluster.controller = lambda document, reads: failing(document, reads) if reads < 3 else at_last(document, reads)

    assert deploy(service(), baseline, settle=1.0) == served


def test_a_service_that_kserve_never_looks_at_times_out(cluster: KServeCluster) -> None:
    with pytest.raises(
        GateFailed, match="it was not ready in time; KServe has not looked at it yet; is its controller running"
    ):
        deploy(service(), timeout=0.3)
    assert cluster.service("wine") is None


def test_readiness_of_an_earlier_generation_does_not_count(cluster: KServeCluster, served: str) -> None:
    cluster.put(service("v1.0.0"), manager="stagewright")
    cluster.controller = ready(served, after=10**6)

    with pytest.raises(GateFailed, match="it was not ready in time"):
        deploy(service(), timeout=0.3)


def test_wrong_answers_restore_the_version_before(cluster: KServeCluster, served: str, wrong_baseline: bytes) -> None:
    cluster.put(service("v1.0.0"), manager="stagewright")
    cluster.put(_with(service("v1.0.0"), {"timeout": 30}), manager="an-operator")
    before = spec(cluster)
    cluster.controller = ready(served)

    with pytest.raises(GateFailed, match=r"row 0 is answered '0', but the model says '1'; the version v1.0.0 was restored"):
        deploy(service(), wrong_baseline)

    assert spec(cluster) == before
    assert before["predictor"]["timeout"] == 30


def test_a_restored_version_is_ours_again(cluster: KServeCluster, served: str, baseline: bytes, wrong_baseline: bytes) -> None:
    cluster.put(service("v1.0.0"), manager="stagewright")
    cluster.controller = ready(served)
    with pytest.raises(GateFailed):
        deploy(service(), wrong_baseline)

    assert deploy(service(), baseline) == served


def test_an_answer_of_the_version_before_does_not_count(cluster: KServeCluster, served: str, baseline: bytes) -> None:
    cluster.controller = ready(served)  # where v1.1.0 answers

    with pytest.raises(GateFailed, match=r"the smoke test had no answer: .*has no version 'v1.2.0' here; served is v1.1.0"):
        deploy(service("v1.2.0"), baseline, timeout=0.5)


def test_fields_of_somebody_else_are_left_alone(cluster: KServeCluster, served: str) -> None:
    cluster.put(service("v1.0.0"), manager="stagewright")
    cluster.put(_with(service("v1.0.0"), {"minReplicas": 3, "maxReplicas": 5}), manager="kubectl")
    before = cluster.service("wine")

    with pytest.raises(Conflict) as refused:
        deploy(service())

    assert str(refused.value) == (
        "InferenceService default/wine has fields that are not ours: kubectl manages .spec.predictor.maxReplicas, "
        ".spec.predictor.minReplicas; change them there, or deploy with force"
    )
    assert cluster.service("wine") == before

    cluster.controller = ready(served)
    deploy(service(), force=True)
    assert spec(cluster)["predictor"]["minReplicas"] == 1


def test_missing_rights_name_the_role_that_is_needed(cluster: KServeCluster) -> None:
    message = 'inferenceservices.serving.kserve.io "wine" is forbidden: User "runner" cannot patch resource'
    cluster.refusals["PATCH"] = failure(403, "Forbidden", message)

    with pytest.raises(
        ServiceUnavailable,
        match=r"not allowed to patch inferenceservices.serving.kserve.io in namespace 'default' .*needs a Role with",
    ):
        deploy(service())


def test_a_webhooks_refusal_is_quoted(cluster: KServeCluster) -> None:
    message = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: no'
    cluster.refusals["PATCH"] = failure(403, "Forbidden", message)

    with pytest.raises(InputError, match=r"the cluster refuses InferenceService default/wine: admission webhook .* denied"):
        deploy(service())


def test_expired_credentials_are_told(cluster: KServeCluster) -> None:
    cluster.refusals["GET"] = failure(401, "Unauthorized", "Unauthorized")

    with pytest.raises(ServiceUnavailable, match="does not accept the credentials: sign in again"):
        deploy(service())


def test_a_missing_namespace_is_told(cluster: KServeCluster) -> None:
    cluster.refusals["PATCH"] = failure(404, "NotFound", 'namespaces "default" not found')

    with pytest.raises(InputError, match='cannot be applied: namespaces "default" not found; does the namespace exist'):
        deploy(service())


def test_a_cluster_without_kserve_is_told(cluster: KServeCluster) -> None:
    cluster.installed = False

    with pytest.raises(ServiceUnavailable, match=r"has no serving.kserve.io/v1beta1 InferenceService: install KServe"):
        deploy(service())


def test_what_cannot_be_undone_is_told(cluster: KServeCluster) -> None:
    cluster.controller = failing
    cluster.refusals["DELETE"] = failure(403, "Forbidden", "no")

    with pytest.raises(GateFailed, match="and it could not be undone: not allowed to delete"):
        deploy(service())


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(emulated._kubeconfig(tmp_path, "http://127.0.0.1:1")))

    with pytest.raises(ServiceUnavailable, match=r"the cluster at http://127.0.0.1:1 does not answer: .*refused"):
        deploy(service())


def test_no_cluster_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(InputError, match=r"no cluster to deploy to: .*; set KUBECONFIG or run inside the cluster"):
        deploy(service())


def test_a_pod_without_a_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    with pytest.raises(InputError, match=r"no cluster to deploy to: Service token file does not exist"):
        deploy(service())


class Gateway(BaseHTTPRequestHandler):
    """Lets requests with the right token through to a server behind it."""

    def __init__(self, behind: str, *arguments: Any) -> None:
        self.behind = behind
        super().__init__(*arguments)

    def _forward(self) -> None:
        if self.headers.get("Authorization") != "Bearer secret-token":
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"RBAC: access denied")
            return
        connection = HTTPConnection(urlsplit(self.behind).netloc)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.send_response(answer.status)
        self.end_headers()
        self.wfile.write(answer.read())

    do_GET = do_POST = _forward

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway(served: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Gateway, served))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("through", ["STAGEWRIGHT_SERVING_TOKEN", "STAGEWRIGHT_SERVING_TOKEN_FILE"])
def test_the_smoke_test_signs_in(
    cluster: KServeCluster, gateway: str, baseline: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    cluster.controller = ready(gateway)
    (tmp_path / "token").write_text("secret-token\n")
    monkeypatch.setenv(through, str(tmp_path / "token") if through.endswith("FILE") else "secret-token")

    assert deploy(service(), baseline) == gateway


def test_a_gateway_that_refuses_is_quoted(cluster: KServeCluster, gateway: str, baseline: bytes) -> None:
    cluster.controller = ready(gateway)

    with pytest.raises(GateFailed, match=r"the smoke test had no answer: .*answered 403: RBAC: access denied; it was deleted"):
        deploy(service(), baseline, timeout=0.3)


def _with(document: dict[str, Any], predictor: dict[str, Any]) -> dict[str, Any]:
    """A document of somebody who manages a few fields of the predictor."""
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": {"name": "wine", "namespace": "default"},
        "spec": {"predictor": predictor},
    }

"""The cluster target on a real API server, with a real predictor behind the service's address; the test plays KServe."""

from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import webhooks
from support.api_server import ApiServer
from support.exported_models import write_wine_model
from support.kserve import Behaviour, Services, failing, old_replica_answers, ready
from support.manifests import in_namespace, objects
from support.predictors import predictor

from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable
from stagewright.components.serving.manifests.inference_service import Replicas, inference_service
from stagewright.components.serving.targets import cluster as target
from stagewright.components.serving.targets.cluster_client import Conflict

QUICK = {"timeout": 2.0, "poll": 0.05, "settle": 0.2}


def service(version: str = "v1.1.0", namespace: str = "default", **changes: Any) -> dict[str, Any]:
    uri = f"s3://models/wine/{version}/"
    return inference_service(name="wine", version=version, model_uri=uri, namespace=namespace, **changes)


@pytest.fixture
def kserve(api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A namespace as our manifests set it up; KUBECONFIG signs in as the account of pipeline steps."""
    api.apply(in_namespace(objects("base/pipelines"), namespace))
    token = api.account_token(namespace, "stagewright-runner")
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, token)))
    return Services(api, namespace)


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


def deploy(kserve: Services, version: str = "v1.1.0", baseline: bytes | None = None, **changes: Any) -> str:
    return target.deploy(service(version, kserve.namespace), baseline=baseline, **QUICK | changes)


def deployed(
    kserve: Services, behaviour: Behaviour, version: str = "v1.1.0", baseline: bytes | None = None, **changes: Any
) -> str:
    """Deploy while KServe behaves in some way."""
    with kserve.controller("wine", behaviour):
        return deploy(kserve, version, baseline, **changes)


def spec(kserve: Services) -> dict[str, Any]:
    found: dict[str, Any] = kserve.get("wine")["spec"]
    return found


def test_a_new_service_is_created_and_answers(kserve: Services, served: str, baseline: bytes) -> None:
    assert deployed(kserve, ready(served, after=3), baseline=baseline) == served

    found, wanted = kserve.get("wine"), service(namespace=kserve.namespace)
    assert found["spec"] == wanted["spec"]
    assert found["metadata"]["labels"] == wanted["metadata"]["labels"]
    assert found["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    [manager] = [entry for entry in found["metadata"]["managedFields"] if "subresource" not in entry]
    assert (manager["manager"], manager["operation"]) == ("stagewright", "Apply")


def test_an_existing_service_is_updated(kserve: Services, served: str, baseline: bytes) -> None:
    kserve.put(service("v1.0.0", kserve.namespace), manager="stagewright")

    deployed(kserve, ready(served, after=2), baseline=baseline)

    found = kserve.get("wine")
    assert found["spec"]["predictor"]["model"]["storageUri"] == "s3://models/wine/v1.1.0"
    assert found["metadata"]["annotations"]["stagewright/version"] == "v1.1.0"
    assert found["metadata"]["generation"] == 2


def test_deploying_again_changes_nothing(kserve: Services, served: str, baseline: bytes) -> None:
    deployed(kserve, ready(served), baseline=baseline)
    before = kserve.get("wine")["metadata"]

    deploy(kserve, baseline=baseline)

    assert kserve.get("wine")["metadata"]["generation"] == before["generation"]


def test_a_service_that_does_not_load_is_deleted_with_kserves_words(kserve: Services, baseline: bytes) -> None:
    with pytest.raises(GateFailed) as failed:
        deployed(kserve, failing, baseline=baseline)

    assert str(failed.value) == (
        f"the deployment of wine v1.1.0 to namespace '{kserve.namespace}' did not pass: "
        "ModelLoadFailed (exit code 1): NoSuchBucket: the bucket does not exist; "
        "PredictorReady is False (MinimumReplicasUnavailable: no replicas); "
        "Ready is False (MinimumReplicasUnavailable); it was deleted again"
    )
    assert kserve.find("wine") is None


def test_a_version_that_does_not_load_gives_way_to_the_one_before(kserve: Services, baseline: bytes) -> None:
    first = service("v1.0.0", kserve.namespace, replicas=Replicas(1, 3))
    kserve.put(first, manager="stagewright")
    before = spec(kserve)

    with pytest.raises(GateFailed, match=r"ModelLoadFailed .*; the version v1.0.0 was restored$"):
        deployed(kserve, failing, baseline=baseline)

    assert spec(kserve) == before
    restored = kserve.get("wine")["metadata"]
    assert restored["annotations"] == first["metadata"]["annotations"]
    assert restored["labels"]["app.kubernetes.io/version"] == "v1.0.0"


def test_the_old_replica_is_not_taken_for_the_new_version(kserve: Services, served: str, baseline: bytes) -> None:
    """KServe says ready, with the new generation, of the revision before; then why the new one cannot load."""
    kserve.put(service("v1.1.0", kserve.namespace), manager="stagewright")
    message = "s3://models/wine/v1.2.0: AccessDenied: the object store answered 403"

    with pytest.raises(GateFailed) as failed:
        deployed(kserve, old_replica_answers(served, message), "v1.2.0", baseline, timeout=60.0)

    assert str(failed.value) == (
        f"the deployment of wine v1.2.0 to namespace '{kserve.namespace}' did not pass: "
        f"ModelLoadFailed (exit code 1): {message}; the version v1.1.0 was restored"
    )


def test_a_failure_that_passes_is_waited_out(kserve: Services, served: str, baseline: bytes) -> None:
    at_last = ready(served)

    def behaviour(document: dict[str, Any], looks: int) -> dict[str, Any] | None:
        return failing(document, looks) if looks < 10 else at_last(document, looks)

    assert deployed(kserve, behaviour, baseline=baseline, settle=5.0, timeout=30.0) == served


def test_a_service_that_kserve_never_looks_at_times_out(kserve: Services) -> None:
    with pytest.raises(
        GateFailed, match="it was not ready in time; KServe has not looked at it yet; is its controller running"
    ):
        deploy(kserve, timeout=0.3)
    assert kserve.find("wine") is None


def test_readiness_of_an_earlier_generation_does_not_count(kserve: Services, served: str) -> None:
    kserve.put(service("v1.0.0", kserve.namespace), manager="stagewright")

    with pytest.raises(GateFailed, match="it was not ready in time"):
        deployed(kserve, ready(served, after=10**6), timeout=0.5)


def test_wrong_answers_restore_the_version_before(kserve: Services, served: str, wrong_baseline: bytes) -> None:
    kserve.put(service("v1.0.0", kserve.namespace), manager="stagewright")
    kserve.put(_with(service("v1.0.0"), {"timeout": 30}), manager="an-operator")
    before = spec(kserve)

    with pytest.raises(GateFailed, match=r"row 0 is answered '0', but the model says '1'; the version v1.0.0 was restored"):
        deployed(kserve, ready(served), baseline=wrong_baseline, timeout=30.0)

    assert spec(kserve) == before
    assert before["predictor"]["timeout"] == 30


def test_a_restored_version_is_ours_again(kserve: Services, served: str, baseline: bytes, wrong_baseline: bytes) -> None:
    kserve.put(service("v1.0.0", kserve.namespace), manager="stagewright")
    with pytest.raises(GateFailed):
        deployed(kserve, ready(served), baseline=wrong_baseline, timeout=30.0)

    assert deployed(kserve, ready(served), baseline=baseline, timeout=30.0) == served


def test_an_answer_of_the_version_before_does_not_count(kserve: Services, served: str, baseline: bytes) -> None:
    with pytest.raises(GateFailed, match=r"the smoke test had no answer: .*has no version 'v1.2.0' here; served is v1.1.0"):
        deployed(kserve, ready(served), "v1.2.0", baseline, timeout=0.5)


def test_pods_of_the_version_before_must_be_gone(kserve: Services, served: str, baseline: bytes) -> None:
    kserve.pod("wine-old", "v1.0.0", {"phase": "Running"})
    kserve.pod("wine-new", "v1.1.0", {"phase": "Running"})

    with pytest.raises(GateFailed, match="it was not ready in time; 1 of its pods still serve another version; it was deleted"):
        deployed(kserve, ready(served), baseline=baseline)

    kserve.api.ask("DELETE", f"/api/v1/namespaces/{kserve.namespace}/pods/wine-old")
    assert deployed(kserve, ready(served), baseline=baseline, timeout=30.0) == served


def test_a_pod_that_cannot_be_scheduled_is_named(kserve: Services, served: str) -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no cpu."}
    kserve.pod("wine-new", "v1.1.0", {"phase": "Pending", "conditions": [unscheduled]})

    with pytest.raises(GateFailed, match=r"did not pass: pod wine-new cannot be scheduled: 0/1 nodes: no cpu.; it was deleted"):
        deployed(kserve, ready(served), timeout=60.0)


def test_an_image_that_cannot_be_pulled_is_named(kserve: Services, served: str) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image predictor"}
    container = {
        "name": "kserve-container", "image": "predictor", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"waiting": waiting},
    }  # fmt: skip
    kserve.pod("wine-new", "v1.1.0", {"phase": "Pending", "containerStatuses": [container]})

    with pytest.raises(
        GateFailed,
        match=r"did not pass: container kserve-container of pod wine-new cannot start \(ImagePullBackOff\): Back-off pulling",
    ):
        deployed(kserve, ready(served), timeout=60.0)


def test_a_volume_that_is_missing_is_named(kserve: Services, served: str) -> None:
    kserve.pod("wine-new", "v1.1.0", {"phase": "Pending"})
    kserve.event("told", "Pod", "wine-new", "FailedMount", 'configmap "minio-ca" not found')

    with pytest.raises(GateFailed, match=r'pod wine-new cannot start \(FailedMount\): configmap "minio-ca" not found'):
        deployed(kserve, ready(served), timeout=60.0)


def test_a_pod_that_may_not_be_made_is_named(kserve: Services, served: str) -> None:
    kserve.event("earlier", "ReplicaSet", "wine-predictor-1", "FailedCreate", "an old story")
    ready_at_once = ready(served)

    def behaviour(document: dict[str, Any], looks: int) -> dict[str, Any] | None:
        if looks == 1:
            kserve.event("told", "ReplicaSet", "wine-predictor-2", "FailedCreate", "exceeded quota: cpu")
        return ready_at_once(document, looks)

    with pytest.raises(GateFailed, match="did not pass: no pod can be made: exceeded quota: cpu; it was deleted"):
        deployed(kserve, behaviour, "v1.2.0", timeout=60.0)


def test_fields_of_somebody_else_are_left_alone(kserve: Services, served: str) -> None:
    kserve.put(service("v1.0.0", kserve.namespace), manager="stagewright")
    kserve.put(_with(service("v1.0.0"), {"minReplicas": 3, "maxReplicas": 5}), manager="kubectl")
    before = spec(kserve)

    with pytest.raises(Conflict) as refused:
        deploy(kserve)

    assert str(refused.value) == (
        f"InferenceService {kserve.namespace}/wine has fields that are not ours: kubectl manages .spec.predictor.maxReplicas, "
        ".spec.predictor.minReplicas; change them there, or deploy with force"
    )
    assert spec(kserve) == before

    deployed(kserve, ready(served), force=True)
    assert spec(kserve)["predictor"]["minReplicas"] == 1


def test_missing_rights_name_the_role_that_is_needed(kserve: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    _sign_in(kserve, monkeypatch, verbs=["get"])

    with pytest.raises(
        ServiceUnavailable,
        match=r"not allowed to patch inferenceservices.serving.kserve.io in namespace 'test-.*needs a Role with",
    ):
        deploy(kserve)


def test_what_cannot_be_undone_is_told(kserve: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    _sign_in(kserve, monkeypatch, verbs=["get", "create", "patch"])

    with pytest.raises(GateFailed, match="and it could not be undone: not allowed to delete"):
        deployed(kserve, failing)


def test_pods_that_may_not_be_looked_at_stop_nothing(
    kserve: Services, served: str, baseline: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sign_in(kserve, monkeypatch, verbs=["get", "create", "patch", "delete"])

    assert deployed(kserve, ready(served), baseline=baseline, timeout=30.0) == served


def test_an_object_that_its_schema_refuses_is_told(kserve: Services) -> None:
    document = service(namespace=kserve.namespace)
    document["spec"]["predictor"]["maximumReplicas"] = 3

    with pytest.raises(InputError, match=r"the cluster refuses InferenceService .*/wine: .*maximumReplicas"):
        target.deploy(document, baseline=None, **QUICK)
    assert kserve.find("wine") is None


def test_a_webhooks_refusal_is_quoted(kserve: Services) -> None:
    with (
        webhooks.denying(kserve.api, kserve.namespace, "the variant is not allowed"),
        pytest.raises(InputError) as refused,
    ):
        deploy(kserve)

    assert str(refused.value) == (
        f"the cluster refuses InferenceService {kserve.namespace}/wine: "
        'admission webhook "test.stagewright.dev" denied the request: the variant is not allowed'
    )


def test_expired_credentials_are_told(kserve: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kserve.api.kubeconfig(kserve.namespace, "an-old-token")))

    with pytest.raises(ServiceUnavailable, match="does not accept the credentials: sign in again"):
        deploy(kserve)


def test_a_missing_namespace_is_told(api: ApiServer, namespace: str) -> None:
    del namespace  # the administrator signs in

    with pytest.raises(InputError, match='cannot be applied: namespaces "nowhere" not found; does the namespace exist'):
        deploy(Services(api, "nowhere"))


def test_a_cluster_without_kserve_is_told(bare_api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(bare_api.kubeconfig()))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ServiceUnavailable, match=r"has no serving.kserve.io/v1beta1 InferenceService: install KServe"):
        deploy(Services(bare_api, "default"))


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
    kserve: Services, gateway: str, baseline: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    (tmp_path / "token").write_text("secret-token\n")
    monkeypatch.setenv(through, str(tmp_path / "token") if through.endswith("FILE") else "secret-token")

    assert deployed(kserve, ready(gateway), baseline=baseline, timeout=30.0) == gateway


def test_a_gateway_that_refuses_is_quoted(kserve: Services, gateway: str, baseline: bytes) -> None:
    with pytest.raises(GateFailed, match=r"the smoke test had no answer: .*answered 403: RBAC: access denied; it was deleted"):
        deployed(kserve, ready(gateway), baseline=baseline, timeout=0.6)


def _sign_in(kserve: Services, monkeypatch: pytest.MonkeyPatch, *, verbs: list[str]) -> None:
    """Become an account that may do only this with services, and nothing else."""
    kserve.api.account(kserve.namespace, "limited")
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{kserve.namespace}"
    rule = {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": verbs}
    kserve.api.ask("POST", f"{base}/roles", {"metadata": {"name": "limited"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "limited", "namespace": kserve.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"}
    binding = {"metadata": {"name": "limited"}, "roleRef": role, "subjects": [subject]}
    kserve.api.ask("POST", f"{base}/rolebindings", binding)
    token = kserve.api.account_token(kserve.namespace, "limited")
    monkeypatch.setenv("KUBECONFIG", str(kserve.api.kubeconfig(kserve.namespace, token)))


def _with(document: dict[str, Any], predictor: dict[str, Any]) -> dict[str, Any]:
    """A document of somebody who manages a few fields of the predictor."""
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": {"name": "wine"},
        "spec": {"predictor": predictor},
    }

"""What a run needs at its end is asked for at its beginning; tests/cluster asks a real cluster for rights."""

import pytest
from support.http_servers import Exchange, response, serving

from stagewright.components.runtime.access import check_access
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.usefixtures("object_store", "tracking", "no_cluster")
@pytest.mark.parametrize("deploy_to", ["local", "gitops", "none"])
def test_a_run_that_does_not_deploy_to_a_cluster_needs_none(deploy_to: str) -> None:
    check_access(deploy_to)

    store = ObjectStore.from_environment("the test looks for what is left")
    assert not store.exists("s3://models/.write-check")


@pytest.mark.usefixtures("object_store", "tracking", "no_cluster")
def test_without_a_cluster_a_run_that_deploys_there_does_not_begin() -> None:
    with pytest.raises(InputError, match=r"^no cluster to deploy to: .*; set KUBECONFIG or run inside the cluster$"):
        check_access("cluster")


def test_a_step_by_itself_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    check_access("")
    with pytest.raises(MissingSetting, match="the object store receives the model that the run publishes"):
        check_access("none")


@pytest.mark.usefixtures("object_store", "tracking")
def test_a_store_that_lets_nobody_write_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")

    with pytest.raises(InputError, match=r"refuses access to s3://models .*check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        check_access("none")


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize("refused", [403, 501])
def test_a_store_that_lets_nobody_delete_is_enough_to_publish(monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    def answer(exchange: Exchange) -> bytes:
        return response(b"", status=refused if exchange.request.startswith(b"DELETE") else 200, extra='ETag: "a"\r\n')

    with serving(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        check_access("none")

        asked = [request.split(b" HTTP")[0].decode() for request in server.requests]
    assert asked == ["HEAD /models", "PUT /models/.write-check", "DELETE /models/.write-check"]


@pytest.mark.usefixtures("object_store")
def test_an_mlflow_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(
        ServiceUnavailable, match=r"^MLflow does not answer at http://127.0.0.1:9 .*registers the model of the run$"
    ):
        check_access("none")


@pytest.mark.usefixtures("object_store", "tracking")
def test_a_cluster_that_does_not_answer_is_told(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("away") / "kubeconfig"
    path.write_text(
        "current-context: c\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: c, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: c}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ServiceUnavailable, match=r"^deploy_to=cluster: the cluster at http://127.0.0.1:9 does not answer: .*"):
        check_access("cluster", "models")

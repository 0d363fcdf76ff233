"""The cluster target where there is no cluster, and how long it waits; tests/cluster has it on a real one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable
from stagewright.components.serving.manifests.inference_service import inference_service
from stagewright.components.serving.targets import cluster as target
from stagewright.components.serving.targets.cluster import Clock, _Patience
from stagewright.components.serving.targets.readiness import readiness
from stagewright.components.serving.targets.rollout import Observation


def deploy() -> str:
    uri = "s3://models/wine/v1.1.0/"
    return target.deploy(inference_service(name="wine", version="v1.1.0", model_uri=uri), baseline=None, timeout=2.0)


def kubeconfig(folder: Path, server: str) -> Path:
    document: dict[str, Any] = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "token-of-a-test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))

    with pytest.raises(ServiceUnavailable, match=r"the cluster at http://127.0.0.1:1 does not answer: .*refused"):
        deploy()


def test_no_cluster_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(InputError, match=r"no cluster to deploy to: .*; set KUBECONFIG or run inside the cluster"):
        deploy()


def test_a_pod_without_a_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    with pytest.raises(InputError, match=r"no cluster to deploy to: Service token file does not exist"):
        deploy()


class _Watch:
    """A clock that only goes while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.time, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds


def seen(*, failed: bool = False, failures: tuple[str, ...] = ("no replicas",)) -> Observation:
    return Observation(False, failed, failures, "", readiness({}, 0))


def ended(states: list[bool], *, deadline: float = 100.0) -> tuple[float, list[str]]:
    """When the wait gives up, looking each second, and with which clauses; the last state stays."""
    watch = _Watch()
    patience = _Patience("the deployment", deadline, poll=1.0, settle=3.0, clock=watch.clock())
    for at in range(1000):
        try:
            patience.take(seen(failed=states[min(at, len(states) - 1)]), "")
        except GateFailed as gave_up:
            return watch.time, list(gave_up.failures)
    raise AssertionError("the wait never ends")


def test_a_failure_counts_when_it_has_lasted() -> None:
    assert ended([False, True]) == (4.0, ["no replicas"])


def test_a_failure_that_passed_does_not_count_towards_the_next() -> None:
    assert ended([True, True, True, False, True, True, True, False, True]) == (11.0, ["no replicas"])


def test_without_a_failure_the_time_decides() -> None:
    assert ended([False], deadline=9.5) == (9.0, ["it was not ready in time", "no replicas"])


def test_why_there_was_no_answer_is_told_at_the_end() -> None:
    patience = _Patience("the deployment", 0.5, poll=1.0, settle=3.0, clock=_Watch().clock())

    with pytest.raises(GateFailed, match=r"^the deployment did not pass: the smoke test had no answer: 404$"):
        patience.take(seen(failures=()), "the smoke test had no answer: 404")

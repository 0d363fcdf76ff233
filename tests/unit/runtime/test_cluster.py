"""Which namespace is meant where none is named."""

from pathlib import Path

import pytest
import yaml

from stagewright.components.runtime import cluster
from stagewright.components.runtime.cluster import own_namespace


@pytest.fixture(autouse=True)
def on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def kubeconfig(path: Path, context: dict[str, str]) -> str:
    document = {
        "current-context": "now",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "not-this"}},
            {"name": "now", "context": {"cluster": "c", "user": "u", **context}},
        ],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_pods_own_namespace_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("stagewright\n")
    monkeypatch.setattr(cluster, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "kubeconfig", {"namespace": "team"}))

    assert own_namespace() == "stagewright"
    assert own_namespace(ask_kubeconfig=False) == "stagewright"


@pytest.mark.parametrize(
    ("context", "meant"), [({"namespace": "team"}, "team"), ({"namespace": ""}, "default"), ({}, "default")]
)
def test_on_a_laptop_the_contexts_namespace_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: dict[str, str], meant: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "kubeconfig", context))

    assert own_namespace() == meant
    assert own_namespace(ask_kubeconfig=False) == "default"


@pytest.mark.parametrize("content", [None, "", "current-context: none\ncontexts: []\n", "- no\n- mapping\n"])
def test_without_a_usable_kubeconfig_it_is_kubectls_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "kubeconfig").write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    assert own_namespace() == "default"


def test_a_pod_without_that_file_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    assert own_namespace() == "default"

"""One real API server for all tests of a session, with the CRDs of everything that our manifests speak of."""

from collections.abc import Iterator

import pytest
from support import api_server
from support.api_server import ApiServer
from support.kserve import Services


def pytest_sessionstart() -> None:
    try:
        api_server.binaries()
    except FileNotFoundError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="session")
def bare_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server without any CRD."""
    with api_server.running(tmp_path_factory.mktemp("bare-api")) as server:
        yield server


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with every CRD of SHARED."""
    with api_server.running(tmp_path_factory.mktemp("api")) as server:
        _define(server)
        server.kubectl("wait", "crd", "--all", "--for", "condition=Established", "--timeout", "60s")
        yield server


def _define(server: ApiServer) -> None:
    """Apply every CRD; again where a busy machine let a request run out of time, because doing it twice changes nothing."""
    for attempt in range(3):
        try:
            server.kubectl("apply", "--server-side", "-f", str(api_server.SHARED / "crds"))
        except AssertionError as failed:
            if attempt == 2 or "Timeout" not in str(failed):
                raise
        else:
            return


@pytest.fixture
def namespace(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A namespace of the test's own; KUBECONFIG points to it."""
    name = api.namespace()
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(name)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return name


@pytest.fixture
def services(api: ApiServer, namespace: str) -> Services:
    """The InferenceServices of the test's namespace."""
    return Services(api, namespace)

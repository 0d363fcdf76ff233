"""Connect to Kubeflow Pipelines, and explain connection failures in one sentence."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3

from stagewright.components.runtime.errors import InputError, ServiceUnavailable

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105  a variable's name
TOKEN_FILE = Path("/var/run/secrets/kubeflow/pipelines/token")  # where Kubeflow mounts it into notebooks
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_TIMEOUT = (5, 20)  # seconds to connect, to answer
NOT_FOUND = 5  # gRPC status in a response body


@dataclass(frozen=True, slots=True)
class Connection:
    """Connection settings for Kubeflow Pipelines.

    Args:
        host: URL of the API, or of the dashboard's `/pipeline`; None for KF_PIPELINES_ENDPOINT or, in a pod, the service of
            this cluster.
        token: Bearer token.
        cookie: `Cookie` header of an authenticated browser session: "authservice_session=...".
        token_file: Service-account token file for the audience of Kubeflow Pipelines, read before each request; None for
            KF_PIPELINES_SA_TOKEN_PATH or, if it exists, the file that Kubeflow mounts into notebooks.
        kube_context: Kubeconfig context; connects through its API server's proxy instead of a host.
        installation: Namespace of the Kubeflow Pipelines installation.
        certificate: CA certificate file to verify the host.
    """

    host: str | None = None
    token: str | None = None
    cookie: str | None = None
    token_file: str | None = None
    kube_context: str | None = None
    installation: str = "kubeflow"
    certificate: str | None = None


def resolved(connection: Connection) -> Connection:
    """Resolve the host and, if no other credential is given, the token file.

    Raises:
        InputError: If there is no host or more than one, or a file does not exist.
    """
    if connection.host and connection.kube_context:
        raise InputError(f"host {connection.host} and context '{connection.kube_context}' exclude each other; give one of them")
    host = connection.host
    if not connection.kube_context:
        host = host or os.environ.get(HOST_VARIABLE) or _service_of_this_cluster(connection)
    if host and "://" not in host:
        raise InputError(f"host '{host}' has no scheme; write http://{host} or https://{host}")
    if connection.certificate and not Path(connection.certificate).is_file():
        raise InputError(f"certificate {connection.certificate} does not exist")
    return replace(connection, host=host.rstrip("/") if host else None, token_file=_token_file(connection))


def _service_of_this_cluster(connection: Connection) -> str:
    if not SERVICE_ACCOUNT.exists():
        raise InputError(
            "no Kubeflow Pipelines host; set --host or KFP_HOST (after "
            "'kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80' it is http://localhost:8080)"
        )
    return f"http://ml-pipeline.{connection.installation}.svc.cluster.local:8888"


def _token_file(connection: Connection) -> str | None:
    """The configured token file, or the mounted one if there is no other credential."""
    if connection.token or connection.cookie or connection.kube_context:
        return None
    named = connection.token_file or os.environ.get(TOKEN_VARIABLE)
    if named and not Path(named).is_file():
        raise InputError(f"service-account token {named} does not exist; mount a token with audience pipelines.kubeflow.org")
    return named or (str(TOKEN_FILE) if TOKEN_FILE.is_file() else None)


class _Client(kfp_server_api.ApiClient):
    """The generated API client with a timeout; without one it waits forever."""

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        keywords["_request_timeout"] = keywords.get("_request_timeout") or _TIMEOUT
        return super().request(*arguments, **keywords)


def client(connection: Connection) -> kfp_server_api.ApiClient:
    """Make an API client for a resolved connection; every request has its credential and a timeout."""
    return _Client(_configuration(connection), cookie=connection.cookie)


def user_namespace(namespace: str | None, connection: Connection) -> str | None:
    """Get the namespace to use. As the first request to the API, this also checks that it responds.

    Raises:
        InputError: If the installation is multi-user and no namespace is given.
    """
    health = _health(connection)
    if not health.multi_user:
        return namespace
    own = SERVICE_ACCOUNT / "namespace"
    namespace = namespace or (own.read_text(encoding="utf-8").strip() if own.is_file() else None)
    if not namespace:
        raise InputError(f"{where(connection)} is a multi-user installation; set your namespace with --kubeflow-namespace")
    return namespace


def _health(connection: Connection) -> kfp_server_api.V2beta1GetHealthzResponse:
    """Get the API's health as bytes: the response may be a sign-in page or come from another server."""
    response = kfp_server_api.HealthzServiceApi(client(connection)).healthz_service_get_healthz(_preload_content=False)
    body = response.data
    try:
        answer = json.loads(body)
    except ValueError:
        raise _not_signed_in(connection) if b"<html" in body.lower() else _no_such_api(connection) from None
    if not isinstance(answer, dict):
        raise _no_such_api(connection)
    return kfp_server_api.V2beta1GetHealthzResponse(multi_user=answer.get("multi_user", False))


def _configuration(connection: Connection) -> kfp_server_api.Configuration:
    configuration = kfp_server_api.Configuration()
    configuration.retries = urllib3.Retry(total=1, redirect=3)
    if connection.certificate:
        configuration.ssl_ca_cert = connection.certificate
    if not connection.host:
        _through_proxy(configuration, connection)
        return configuration
    configuration.host = connection.host
    if connection.token:
        configuration.api_key["authorization"] = connection.token
        configuration.api_key_prefix["authorization"] = "Bearer"
    elif connection.token_file:
        _from_file(configuration, Path(connection.token_file))
    return configuration


def _from_file(configuration: kfp_server_api.Configuration, file: Path) -> None:
    """Read the token before each request, because the kubelet renews it during a run."""

    def read(fresh: kfp_server_api.Configuration) -> None:
        try:
            fresh.api_key["authorization"] = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"service-account token {file} cannot be read: {error.strerror or error}") from None

    configuration.api_key["authorization"] = ""
    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.refresh_api_key_hook = read


def _through_proxy(configuration: kfp_server_api.Configuration, connection: Connection) -> None:
    """Connect through the Kubernetes API server with the kubeconfig's credentials."""
    from kubernetes import config

    try:
        config.load_kube_config(client_configuration=configuration, context=connection.kube_context)
    except config.ConfigException as error:
        raise InputError(f"context '{connection.kube_context}' of the kubeconfig cannot be used: {error}") from None
    proxy = f"api/v1/namespaces/{connection.installation}/services/ml-pipeline:http/proxy"
    address = f"{configuration.host.rstrip('/')}/{proxy}"
    refresh = configuration.refresh_api_key_hook

    def refresh_and_keep_address(fresh: kfp_server_api.Configuration) -> None:
        if refresh:
            refresh(fresh)  # sets the host and the hook back to its own
        fresh.host, fresh.refresh_api_key_hook = address, refresh_and_keep_address

    configuration.host, configuration.refresh_api_key_hook = address, refresh_and_keep_address


@contextlib.contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Convert the client's exceptions into one-sentence errors."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(error, connection) from None
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        text = str(reason).rpartition(": ")[2]
        raise ServiceUnavailable(
            f"{where(connection)} does not respond ({text}); check the address and that the port is reachable or forwarded"
        ) from None


def _refusal(error: kfp_server_api.ApiException, connection: Connection) -> Exception:
    if error.status in (401, 403):
        return _refused_credential(error, connection)
    if error.status == 404:
        return _no_such_api(connection)
    if error.status == 400:
        return InputError(f"{where(connection)} rejected the request: {_message(error)}")
    if error.status == 0 or error.status is None:
        return ServiceUnavailable(f"{where(connection)} failed the TLS connection: {error.reason}")
    return ServiceUnavailable(f"{where(connection)} failed with status {error.status}: {_message(error)}")


def _refused_credential(error: kfp_server_api.ApiException, connection: Connection) -> InputError:
    """Name the rejected credential and what to do."""
    if connection.kube_context:
        what = f"the credential of context '{connection.kube_context}'"
    elif connection.token:
        what = "the token"
    elif connection.cookie:
        what = "the cookie"
    elif connection.token_file:
        what = f"the service-account token {connection.token_file}"
    else:
        return _not_signed_in(connection)
    if error.status == 401:
        return InputError(f"{where(connection)} rejected {what} (401): it has expired or has another audience")
    return InputError(
        f"{what} lacks permission (403): {_message(error)}; check --kubeflow-namespace and the role binding in it"
    )


def _not_signed_in(connection: Connection) -> InputError:
    return InputError(
        f"{where(connection)} requires authentication; set --token, --cookie (of an authenticated browser session) or "
        "--service-account-token (file of a token with audience pipelines.kubeflow.org)"
    )


def _no_such_api(connection: Connection) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{where(connection)} responds, but has no Kubeflow Pipelines API v2beta1; use the address of Kubeflow Pipelines 2 "
        "itself, or its dashboard's with /pipeline"
    )


def is_unknown(error: kfp_server_api.ApiException) -> bool:
    """Whether the API itself reports that the object does not exist, not another server that the path does not exist."""
    return error.status == 404 and _body(error).get("code") == NOT_FOUND


def _message(error: kfp_server_api.ApiException) -> str:
    """The server's error message."""
    body = _body(error)
    return " ".join(str(body.get("message") or body.get("error") or error.reason).split())[:300]


def _body(error: kfp_server_api.ApiException) -> dict[str, Any]:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def where(connection: Connection) -> str:
    """The installation's name in messages."""
    return connection.host or f"Kubeflow Pipelines in context '{connection.kube_context}'"


def run_page(connection: Connection, run_id: str) -> str | None:
    """URL of a run's dashboard page; None if only the API is reachable."""
    return f"{connection.host}/#/runs/details/{run_id}" if connection.host else None

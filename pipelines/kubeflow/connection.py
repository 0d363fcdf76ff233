"""How to reach Kubeflow Pipelines, and in one sentence why it cannot be reached or refuses."""

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
NOT_FOUND = 5  # of gRPC, in the body of an answer


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach Kubeflow Pipelines.

    Args:
        host: Address of the API, or of the dashboard's `/pipeline`; None for KF_PIPELINES_ENDPOINT or, in a pod, the service of
            this cluster.
        token: Bearer token.
        cookie: `Cookie` header of a signed-in browser: "authservice_session=...".
        token_file: Service-account token bound to the audience of Kubeflow Pipelines, read again when it is renewed; None for
            KF_PIPELINES_SA_TOKEN_PATH or, where it exists, the file that Kubeflow mounts into notebooks.
        kube_context: Context of the kubeconfig whose API server's proxy to go through, instead of a host.
        installation: Namespace that Kubeflow Pipelines itself is installed in.
        certificate: File of the authority that signed the host's certificate.
    """

    host: str | None = None
    token: str | None = None
    cookie: str | None = None
    token_file: str | None = None
    kube_context: str | None = None
    installation: str = "kubeflow"
    certificate: str | None = None


def resolved(connection: Connection) -> Connection:
    """The connection with its host, and the token file where there is one and nothing else was given.

    Raises:
        InputError: If there is no host or more than one, or a file that it names does not exist.
    """
    if connection.host and connection.kube_context:
        raise InputError(f"host {connection.host} and context '{connection.kube_context}' are two ways to one place; give one")
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
            "no Kubeflow Pipelines host; give --host URL, or set KFP_HOST (after "
            "'kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80' it is http://localhost:8080)"
        )
    return f"http://ml-pipeline.{connection.installation}.svc.cluster.local:8888"


def _token_file(connection: Connection) -> str | None:
    """The token file that was named, or the one that is mounted if no other credential was given."""
    if connection.token or connection.cookie or connection.kube_context:
        return None
    named = connection.token_file or os.environ.get(TOKEN_VARIABLE)
    if named and not Path(named).is_file():
        raise InputError(f"service-account token {named} does not exist; mount one with audience pipelines.kubeflow.org")
    return named or (str(TOKEN_FILE) if TOKEN_FILE.is_file() else None)


class _Client(kfp_server_api.ApiClient):
    """The API's generated client, which would wait for an answer for ever, with a limit to its patience."""

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        keywords["_request_timeout"] = keywords.get("_request_timeout") or _TIMEOUT
        return super().request(*arguments, **keywords)


def client(connection: Connection) -> kfp_server_api.ApiClient:
    """The client of the API for a resolved connection; every request carries its credential and has a time limit."""
    return _Client(_configuration(connection), cookie=connection.cookie)


def user_namespace(namespace: str | None, connection: Connection) -> str | None:
    """The namespace to use. This is the first question to the API: it also shows whether it can be reached.

    Raises:
        InputError: If users have namespaces of their own and none is given.
    """
    health = _health(connection)
    if not health.multi_user:
        return namespace
    own = SERVICE_ACCOUNT / "namespace"
    namespace = namespace or (own.read_text(encoding="utf-8").strip() if own.is_file() else None)
    if not namespace:
        raise InputError(f"{where(connection)} has a namespace for each user; give yours with --kubeflow-namespace")
    return namespace


def _health(connection: Connection) -> kfp_server_api.V2beta1GetHealthzResponse:
    """Ask for the API's health, as bytes: what answers may be a page to sign in, or another server."""
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
    """Read the token before each request: the kubelet renews it while a run is followed."""

    def read(fresh: kfp_server_api.Configuration) -> None:
        try:
            fresh.api_key["authorization"] = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"service-account token {file} cannot be read: {error.strerror or error}") from None

    configuration.api_key["authorization"] = ""
    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.refresh_api_key_hook = read


def _through_proxy(configuration: kfp_server_api.Configuration, connection: Connection) -> None:
    """Reach the service through the API server, with the kubeconfig's own credentials."""
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
    """Turn what the client raises into one sentence."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(error, connection) from None
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        text = str(reason).rpartition(": ")[2]
        raise ServiceUnavailable(
            f"{where(connection)} does not answer ({text}); check the address, and that its port is forwarded or reachable"
        ) from None


def _refusal(error: kfp_server_api.ApiException, connection: Connection) -> Exception:
    if error.status in (401, 403):
        return _refused_credential(error, connection)
    if error.status == 404:
        return _no_such_api(connection)
    if error.status == 400:
        return InputError(f"{where(connection)} does not accept this: {_message(error)}")
    if error.status == 0 or error.status is None:
        return ServiceUnavailable(f"{where(connection)} cannot be reached safely: {error.reason}")
    return ServiceUnavailable(f"{where(connection)} failed with status {error.status}: {_message(error)}")


def _refused_credential(error: kfp_server_api.ApiException, connection: Connection) -> InputError:
    """Which credential was not enough, and which to give."""
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
        return InputError(f"{where(connection)} does not accept {what} (401): it has expired or is meant for another audience")
    return InputError(
        f"{what} may not do this there (403): {_message(error)}; check --kubeflow-namespace and the role binding in it"
    )


def _not_signed_in(connection: Connection) -> InputError:
    return InputError(
        f"{where(connection)} wants to know who you are; give --token, --cookie with the cookie of a signed-in browser, or "
        "--service-account-token with the file of a service account's token of audience pipelines.kubeflow.org"
    )


def _no_such_api(connection: Connection) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{where(connection)} answers, but has no Kubeflow Pipelines API v2beta1; give the address of Kubeflow Pipelines 2 "
        "itself, or its dashboard's with /pipeline"
    )


def is_unknown(error: kfp_server_api.ApiException) -> bool:
    """Whether the API itself says that there is no such thing, rather than a server that has no such path."""
    return error.status == 404 and _body(error).get("code") == NOT_FOUND


def _message(error: kfp_server_api.ApiException) -> str:
    """The server's own words."""
    body = _body(error)
    return " ".join(str(body.get("message") or body.get("error") or error.reason).split())[:300]


def _body(error: kfp_server_api.ApiException) -> dict[str, Any]:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def where(connection: Connection) -> str:
    """The place as a message names it."""
    return connection.host or f"Kubeflow Pipelines in context '{connection.kube_context}'"


def run_page(connection: Connection, run_id: str) -> str | None:
    """A run's page on the dashboard; None where only the API is reached."""
    return f"{connection.host}/#/runs/details/{run_id}" if connection.host else None

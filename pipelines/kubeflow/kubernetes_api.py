"""Minimal Kubernetes API client with the kubeconfig's or pod's credentials; objects are plain JSON."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.serving.targets.cluster_client import in_cluster
from stagewright.pipelines.kubeflow.connection import SERVICE_ACCOUNT

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Document = dict[str, Any]
TIMEOUT = (3, 10)  # seconds to connect, to answer
_CHUNK = 1 << 16


class Refused(Exception):
    """The API rejected a request; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """A Kubernetes API.

    Attributes:
        namespace: Namespace of the kubeconfig's context or of this pod; None if unknown.
    """

    client: "ApiClient"
    namespace: str | None = None

    @classmethod
    def connect(cls, context: str | None = None) -> "KubernetesApi":
        """Connect to the kubeconfig context's cluster, or to this pod's cluster.

        Raises:
            InputError: If there is no cluster.
        """
        from kubernetes import client, config

        configuration = client.Configuration()
        files = os.environ.get("KUBECONFIG") or "~/.kube/config"  # the library reads KUBECONFIG only on import
        try:
            if in_cluster() and not context:
                config.load_incluster_config(client_configuration=configuration)
                return cls(_patient(configuration), _own_namespace())
            config.load_kube_config(config_file=files, context=context, client_configuration=configuration)
            contexts, active = config.list_kube_config_contexts(files)
        except (config.ConfigException, OSError, ValueError) as error:
            raise InputError(f"no Kubernetes cluster: {' '.join(str(error).split()).rstrip('.')}; set KUBECONFIG") from None
        chosen = next((one for one in contexts if one["name"] == context), active) if context else active
        return cls(_patient(configuration), (chosen or {}).get("context", {}).get("namespace"))

    @property
    def host(self) -> str:
        """Its address."""
        return str(self.client.configuration.host)

    def get(self, path: str, **query: Any) -> Document:
        """Get an object or a list.

        Raises:
            Refused: If the API rejects the request.
            ServiceUnavailable: If the API does not respond.
        """
        return self._json(self._call("GET", path, query))

    def post(self, path: str, body: Document) -> Document:
        """Post an object that is a query, such as an access review, and return the response."""
        return self._json(self._call("POST", path, {}, body))

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """Stream a response."""
        answer = self._call("GET", path, query)
        try:
            yield from answer.stream(_CHUNK)
        finally:
            answer.release_conn()

    def _call(self, method: str, path: str, query: Mapping[str, Any], body: Document | None = None) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "stagewright"}
        try:
            return self.client.call_api(
                path, method, query_params=list(query.items()), header_params=headers, body=body,
                auth_settings=["BearerToken"], _preload_content=False, _return_http_data_only=True, _request_timeout=TIMEOUT,
            )  # fmt: skip
        except ApiException as error:
            raise Refused(error.status or 0, _said(error)) from None
        except HTTPError as error:
            reason = str(getattr(error, "reason", None) or error).rpartition(": ")[2]
            raise ServiceUnavailable(f"the Kubernetes API at {self.host} does not respond ({reason})") from None

    @staticmethod
    def _json(answer: Any) -> Document:
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(answer.status, "the response is not a Kubernetes object")
        return found


def _patient(configuration: Any) -> "ApiClient":
    from kubernetes import client

    configuration.retries = False
    return client.ApiClient(configuration)


def _own_namespace() -> str | None:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _said(error: Any) -> str:
    try:
        message = json.loads(error.body).get("message")
    except (ValueError, TypeError, AttributeError):
        message = None
    return " ".join(str(message or error.reason or "").split())[:300]

"""The Kubernetes cluster that a step runs in or speaks to: how to reach it, and which namespace is its own."""

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.errors import InputError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FALLBACK_NAMESPACE = "default"  # kubectl's, where nothing names one
REQUEST_SECONDS = 30.0


def in_cluster() -> bool:
    """Whether this program runs in a pod."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def connect() -> "ApiClient":
    """Sign in as the pod's service account, or as the kubeconfig says.

    Raises:
        InputError: If there is neither.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        if in_cluster():
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(config_file=_kubeconfig(), client_configuration=configuration)
    except config.ConfigException as error:
        raise InputError(f"no cluster to deploy to: {error}; set KUBECONFIG or run inside the cluster") from error
    configuration.retries = 2
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it would tell of each retry before we tell of the failure
    return client.ApiClient(configuration)


def request(
    api: "ApiClient", method: str, path: str, *, query: list[tuple[str, str]] | None = None, body: Any = None,
    content_type: str = "application/json",
) -> Any:  # fmt: skip
    """One request to the cluster; the answer's JSON.

    Raises:
        kubernetes.client.ApiException: For an answer that is no success.
        urllib3.exceptions.HTTPError: If there is none.
    """
    headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "stagewright"}
    answer = api.call_api(
        path, method, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"],
        _preload_content=False, _return_http_data_only=True, _request_timeout=REQUEST_SECONDS,
    )  # fmt: skip
    return json.loads(answer.data)


def own_namespace(*, ask_kubeconfig: bool = True) -> str:
    """The namespace that is meant where none is named: the pod's own, else the one of the kubeconfig's context.

    Args:
        ask_kubeconfig: Whether a laptop's kubeconfig decides; what is written for others must not depend on it.
    """
    if in_cluster():
        try:
            return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or FALLBACK_NAMESPACE
        except OSError:
            return FALLBACK_NAMESPACE
    return (_context_namespace() if ask_kubeconfig else "") or FALLBACK_NAMESPACE


def _context_namespace() -> str:
    """What the current context names; nothing where there is no usable kubeconfig, which `connect` tells."""
    from kubernetes import config

    try:
        _, active = config.list_kube_config_contexts(config_file=_kubeconfig())
    except (config.ConfigException, TypeError, KeyError):
        return ""
    return str(active["context"].get("namespace") or "")


def _kubeconfig() -> str:
    """Said explicitly: the library looks at KUBECONFIG only when it is imported."""
    return os.environ.get("KUBECONFIG") or "~/.kube/config"

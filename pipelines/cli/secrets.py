"""Credentials of a cluster: generated at random and created as Secrets, never written to a file.

Existing Secrets are never changed, so the command can be repeated, and a production cluster can create some or all of them in
another way (`manifests/overlays/production` defines ExternalSecrets).
"""

import base64
import secrets
import string
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.serving_runtime import STORAGE_SECRET, storage_access
from stagewright.components.serving.targets.cluster_client import FIELD_MANAGER, REQUEST_SECONDS, InferenceServices

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

Document = dict[str, Any]
ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
PASSWORD_LENGTH = 40  # the longest secret key that MinIO takes
_ALPHABET = string.ascii_letters + string.digits


def password() -> str:
    """A random password of letters and digits, safe in a URL; about 238 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


@dataclass(frozen=True, slots=True)
class Credentials:
    """One Secret.

    Attributes:
        fixed: Values that are not secret, such as user names.
        random: Keys whose values are generated.
    """

    name: str
    purpose: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    random: tuple[str, ...] = ()

    def values(self, make: Callable[[], str] = password) -> dict[str, str]:
        """All keys with values; random values are generated on each call."""
        return {**self.fixed, **{key: make() for key in self.random}}


def _storage_user(name: str, user: str, purpose: str) -> Credentials:
    return Credentials(name, purpose, {ACCESS_KEY: user}, (SECRET_KEY,))


CREDENTIALS = (
    Credentials("minio-root", "MinIO's root user", {"MINIO_ROOT_USER": "stagewright-root"}, ("MINIO_ROOT_PASSWORD",)),
    Credentials("mlflow-postgresql", "MLflow's database", {"username": "mlflow"}, ("password",)),
    _storage_user("mlflow-storage", "mlflow", "MLflow's artifacts"),
    _storage_user("stagewright-artifacts", "artifacts", "artifacts of pipeline runs"),
    _storage_user("stagewright-monitoring-storage", "monitoring", "the log of predictions"),
    _storage_user(STORAGE_SECRET, "predictor", "models, for the model servers"),
    _storage_user("stagewright-storage", "steps", "data and models, for pipeline steps"),
)


def documents(namespace: str, *, endpoint: str = "", authority: str = "") -> list[Document]:
    """All Secrets with newly generated values.

    Args:
        namespace: Namespace of the Secrets.
        endpoint: URL of the object store inside the cluster; empty for MinIO in the namespace.
        authority: ConfigMap with the store's private CA certificate; empty for a public CA.
    """
    endpoint = endpoint or f"http://minio.{namespace}.svc:9000"
    return [_document(credentials, namespace, endpoint, authority) for credentials in CREDENTIALS]


def _document(credentials: Credentials, namespace: str, endpoint: str, authority: str) -> Document:
    annotations: dict[str, str] = {}
    if credentials.name == STORAGE_SECRET:
        secret, _ = storage_access(endpoint=endpoint, namespace=namespace, authority=authority)
        annotations = secret["metadata"]["annotations"]
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(credentials.values().items())}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": credentials.name,
            "namespace": namespace,
            "annotations": {**annotations, "stagewright/purpose": credentials.purpose},
            "labels": {"app.kubernetes.io/managed-by": "stagewright", "app.kubernetes.io/part-of": "stagewright"},
        },
        "type": "Opaque",
        "data": encoded,
    }


@dataclass(frozen=True, slots=True)
class Applied:
    """Result of applying the Secrets to a cluster: created and kept names."""

    cluster: str
    created: tuple[str, ...]
    kept: tuple[str, ...]


def apply(made: list[Document], namespace: str) -> Applied:
    """Create the missing Secrets in the kubeconfig's cluster.

    Raises:
        InputError: If there is no cluster or namespace, or an existing Secret lacks a key.
        ServiceUnavailable: If the cluster does not respond or denies the request.
    """
    from kubernetes.client import CoreV1Api

    api = CoreV1Api(InferenceServices.connect(namespace).api)
    outcome: dict[bool, list[str]] = {True: [], False: []}
    for document in made:
        outcome[_created(api, document, namespace)].append(document["metadata"]["name"])
    return Applied(str(api.api_client.configuration.host), tuple(outcome[True]), tuple(outcome[False]))


def _created(api: "CoreV1Api", document: Document, namespace: str) -> bool:
    """Create one Secret; False if it exists with every key."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    name = document["metadata"]["name"]
    try:
        try:
            api.create_namespaced_secret(
                namespace, document, field_manager=FIELD_MANAGER, _request_timeout=REQUEST_SECONDS, _preload_content=False
            )
        except ApiException as error:
            if error.status != 409:
                raise
            existing = api.read_namespaced_secret(name, namespace, _request_timeout=REQUEST_SECONDS)
            missing = sorted(document["data"].keys() - (existing.data or {}).keys())
            if missing:
                raise InputError(
                    f"Secret {namespace}/{name} exists without {', '.join(missing)}; add it, or delete the Secret"
                ) from None
            return False
    except ApiException as error:
        if error.status == 404:
            raise InputError(f"there is no namespace '{namespace}' in the cluster; create it first") from error
        said = " ".join(str(error.reason or "").split())
        raise ServiceUnavailable(f"the cluster refused to create Secret {namespace}/{name}: {said}") from error
    except HTTPError as error:
        host = api.api_client.configuration.host
        raise ServiceUnavailable(f"the cluster at {host} does not respond: {type(error).__name__}") from error
    return True


def command(namespace: str, *, endpoint: str, authority: str, show: bool) -> None:
    """Run `stagewright secrets`."""
    made = documents(namespace, endpoint=endpoint, authority=authority)
    if show:
        sys.stdout.write(to_yaml(*made))
        return
    applied = apply(made, namespace)
    sys.stdout.write(f"cluster  {applied.cluster}, namespace {namespace}\n")
    for word, names in (("created", applied.created), ("kept", applied.kept)):
        sys.stdout.write("".join(f"{word:<9}{name}\n" for name in names))

"""The Kubernetes API requests that a deployment needs, with a sentence for each kind of failure."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime import cluster
from stagewright.components.runtime.cluster import REQUEST_SECONDS, in_cluster
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError
from stagewright.components.serving.manifests.inference_service import API_VERSION, KIND, PLURAL

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["FIELD_MANAGER", "REQUEST_SECONDS", "Conflict", "Document", "InferenceServices", "in_cluster"]

Document = dict[str, Any]

FIELD_MANAGER = "stagewright"
SERVICE_LABEL = "serving.kserve.io/inferenceservice"  # on each pod of a service
_GROUP = API_VERSION.partition("/")[0]
_SHOWN = 300


class Conflict(InputError):
    """Another manager owns fields of the object."""


@dataclass(frozen=True, slots=True)
class InferenceServices:
    """The InferenceServices of one namespace."""

    api: "ApiClient"
    namespace: str

    @classmethod
    def connect(cls, namespace: str) -> "InferenceServices":
        """Sign in as the pod's service account, or with the kubeconfig.

        Raises:
            InputError: If there is neither.
        """
        return cls(cluster.connect(), namespace)

    def get(self, name: str) -> Document | None:
        """The object, or None."""
        return self._call("GET", name, missing_is_none=True)

    def apply(self, document: Document, *, force: bool = False) -> Document:
        """Server-side apply: create the object, or set the fields that it names.

        Args:
            force: Take over fields that another manager owns.

        Raises:
            Conflict: Naming the fields and their manager.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", str(force).lower()), ("fieldValidation", "Strict")]
        applied = self._call("PATCH", document["metadata"]["name"], query=query, body=document)
        return applied or {}

    def delete(self, name: str) -> None:
        """Delete the object; no error if it does not exist."""
        self._call("DELETE", name, missing_is_none=True)

    def pods(self, name: str) -> list[Document] | None:
        """The pods of a service; None without permission to list them, which a deployment does not require."""
        return self._list("pods", [("labelSelector", f"{SERVICE_LABEL}={name}")])

    def events(self, **fields: str) -> list[Document]:
        """Kubernetes events of an object, by its kind, name or the reason; empty without permission to list them."""
        names = {"kind": "involvedObject.kind", "name": "involvedObject.name", "reason": "reason"}
        selector = ",".join(f"{names[field]}={value}" for field, value in fields.items())
        return self._list("events", [("fieldSelector", selector)]) or []

    def _list(self, resource: str, query: list[tuple[str, str]]) -> list[Document] | None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = cluster.request(self.api, "GET", f"/api/v1/namespaces/{self.namespace}/{resource}", query=query)
        except (ApiException, HTTPError):
            return None
        found: list[Document] = answer["items"]
        return found

    def _call(
        self, method: str, name: str, *, query: list[tuple[str, str]] | None = None, body: Document | None = None,
        missing_is_none: bool = False,
    ) -> Document | None:  # fmt: skip
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}"
        try:
            document: Document = cluster.request(self.api, method, path, query=query, body=body, content_type=kind)
        except ApiException as error:
            if error.status == 404 and missing_is_none:
                self._require_kserve()
                return None
            raise self._explain(error, method, name) from error
        except HTTPError as error:
            raise ServiceUnavailable(f"the cluster at {self._host} does not answer: {_reason(error)}") from error
        return document

    def _require_kserve(self) -> None:
        """Distinguish a missing object from a missing kind, which both return 404; only the latter is an error of the cluster's
        setup.
        """
        from kubernetes.client import ApiException

        try:
            cluster.request(self.api, "GET", f"/apis/{API_VERSION}")
        except ApiException as error:
            if error.status == 404:
                raise ServiceUnavailable(f"the cluster at {self._host} has no {API_VERSION} {KIND}: install KServe") from error

    def _explain(self, error: Any, method: str, name: str) -> StagewrightError:
        status = _status(error)
        message = " ".join(str(status.get("message") or error.reason or "").split())[:_SHOWN]
        what = f"{KIND} {self.namespace}/{name}"
        if error.status == 409:
            return _conflict(what, status, message)
        if error.status == 401:
            return ServiceUnavailable(f"the cluster at {self._host} does not accept the credentials: sign in again")
        if error.status == 403 and "admission webhook" not in message:
            return ServiceUnavailable(
                f"not allowed to {_verb(method)} {PLURAL}.{_GROUP} in namespace '{self.namespace}' ({message}); deploying "
                "needs a Role with the verbs get, create, patch and delete on them"
            )
        if error.status == 404:
            self._require_kserve()
            return InputError(f"{what} cannot be applied: {message or 'not found'}; does the namespace exist?")
        if 400 <= error.status < 500 or "failed to create typed patch object" in message:  # an unknown field: status 500
            return InputError(f"the cluster refuses {what}: {message}")
        return ServiceUnavailable(f"the cluster at {self._host} failed with {error.status}: {message}")

    @property
    def _host(self) -> str:
        return str(self.api.configuration.host)


def _conflict(what: str, status: Document, message: str) -> StagewrightError:
    causes = (status.get("details") or {}).get("causes") or []
    fields: dict[str, list[str]] = {}
    for cause in causes:
        manager = re.search(r'conflict with "([^"]+)"', cause.get("message") or "")
        fields.setdefault(manager.group(1) if manager else "somebody else", []).append(cause.get("field") or "?")
    if not fields:
        return Conflict(f"{what} cannot be applied now: {message}; try again")
    held = "; ".join(f"{manager} manages {', '.join(sorted(names)[:5])}" for manager, names in fields.items())
    return Conflict(f"{what} has fields that are not ours: {held}; change them there, or deploy with force")


def _status(error: Any) -> Document:
    """The Status object of a response; a proxy in between may return something else."""
    try:
        document = json.loads(error.body)
    except (ValueError, TypeError):
        return {}
    return document if isinstance(document, dict) else {}


def _verb(method: str) -> str:
    return {"GET": "get", "PATCH": "patch", "DELETE": "delete"}[method]


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text.split(">: ", 1)[-1][:_SHOWN]

"""What KServe's controller and Kubernetes' do with an InferenceService, done by a test on a real API server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from support.api_server import ApiServer, Refused

Document = dict[str, Any]
# The status of a service, given the service and how often it was looked at since its version changed; None leaves it.
Behaviour = Callable[[Document, int], Document | None]


@dataclass
class Services:
    """The InferenceServices of a namespace."""

    api: ApiServer
    namespace: str

    @property
    def path(self) -> str:
        return f"/apis/serving.kserve.io/v1beta1/namespaces/{self.namespace}/inferenceservices"

    def put(self, document: Document, *, manager: str) -> Document:
        """Let somebody apply an object."""
        path = f"{self.path}/{document['metadata']['name']}?fieldManager={manager}&force=true"
        return self.api.ask("PATCH", path, document, kind="application/apply-patch+yaml")

    def find(self, name: str) -> Document | None:
        try:
            return self.api.ask("GET", f"{self.path}/{name}")
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def get(self, name: str) -> Document:
        found = self.find(name)
        assert found is not None
        return found

    @contextmanager
    def controller(self, name: str, behaviour: Behaviour) -> Iterator[None]:
        """Keep a service's status as KServe would, until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._control, args=(name, behaviour, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(20)

    def _control(self, name: str, behaviour: Behaviour, ended: threading.Event) -> None:
        seen, looks = "", 0
        while not ended.wait(0.05):
            service = self.find(name)
            if service is None:
                continue
            version = f"{service['metadata']['uid']} {service['metadata']['annotations'].get('stagewright/version')}"
            seen, looks = version, looks + 1 if version == seen else 1
            status = behaviour(service, looks)
            if status is None:
                continue
            try:
                self.api.patch_status(f"{self.path}/{name}", status)
            except Refused as refused:
                if refused.code != 404:  # deleted meanwhile
                    raise

    def pod(self, name: str, version: str, status: Document, *, service: str = "wine") -> None:
        """Make a pod of a service, as its Deployment would, in the given state."""
        labels = {"serving.kserve.io/inferenceservice": service, "app.kubernetes.io/version": version}
        confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
        container = {
            "name": "kserve-container",
            "image": "predictor",
            "securityContext": {**confined, "seccompProfile": {"type": "RuntimeDefault"}},
        }
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        self.api.ask("POST", path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
        self.api.patch_status(f"{path}/{name}", status)

    def event(self, name: str, kind: str, about: str, reason: str, message: str) -> None:
        """Tell something of an object, as Kubernetes does."""
        where = {"kind": kind, "name": about, "namespace": self.namespace, "apiVersion": "v1"}
        document = {"metadata": {"name": name}, "involvedObject": where, "reason": reason, "message": message}
        extra = {"type": "Warning", "count": 1, "source": {"component": "test"}}
        self.api.ask("POST", f"/api/v1/namespaces/{self.namespace}/events", {**document, **extra})


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Document:
    said = {"reason": reason, "message": message}
    return {"type": kind, "status": status, **{key: value for key, value in said.items() if value}}


def ready(url: str, *, after: int = 1) -> Behaviour:
    """A service that is ready when it was looked at for so many times; until then KServe has not seen the change."""

    def status(service: Document, looks: int) -> Document:
        seen = service["metadata"]["generation"] - (looks < after)
        return {
            "observedGeneration": seen,
            "conditions": [condition("PredictorReady", "True"), condition("Ready", "True")],
            "modelStatus": {
                "transitionStatus": "UpToDate",
                "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
                "lastFailureInfo": None,
            },
            "url": url,
            "address": {"url": url},
        }

    return status


def failing(service: Document, _looks: int) -> Document:
    """A new service whose pods cannot load the model."""
    return {
        "observedGeneration": service["metadata"]["generation"],
        "conditions": [
            condition("PredictorReady", "False", "MinimumReplicasUnavailable", "no replicas"),
            condition("Ready", "False", "MinimumReplicasUnavailable"),
        ],
        "modelStatus": blocked("ModelLoadFailed", "NoSuchBucket: the bucket\ndoes not exist"),
    }


def blocked(reason: str, message: str) -> Document:
    """The model's status where the new revision cannot load."""
    return {
        "transitionStatus": "BlockedByFailedLoad",
        "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
        "lastFailureInfo": {"reason": reason, "message": message, "exitCode": 1},
    }


def old_replica_answers(url: str, message: str, *, stale: int = 5) -> Behaviour:
    """A new version that cannot load, in the order in which KServe wrote it: at first the status has the new generation and
    still speaks of the old revision, then the failure stands beside a service that is ready, because the old replica is."""
    begin = ready(url)

    def status(service: Document, looks: int) -> Document:
        found = begin(service, looks)
        assert found is not None
        if looks > stale:
            found["modelStatus"] = blocked("ModelLoadFailed", message)
        return found

    return status

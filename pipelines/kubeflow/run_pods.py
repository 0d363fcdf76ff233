"""Pods of a run, from the Kubernetes API or from Kubeflow's dashboard."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import kfp_server_api
import urllib3

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.kubeflow.argo_names import Node
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.kubernetes_api import KubernetesApi, Refused
from stagewright.pipelines.kubeflow.pod_states import MAIN, Pod, step_of

RUN_LABEL = "pipeline/runid"
OUR_NAMESPACE = "stagewright"
TAIL_LINES = 2000
NO_SUCH_PAGE = 404
_ARGO = "/apis/argoproj.io/v1alpha1"
_LIMIT = 500
_UNDER_WAY = {"PodInitializing", "ContainerCreating", ""}  # Argo's messages for a starting pod


class Pods(Protocol):
    """A source of pods; results are empty if nothing is found."""

    def of(self, nodes: Iterable[Node]) -> list[Pod]:
        """Pods of the run, newest first: all of them, or at least those of the nodes."""

    def events(self, pod: Pod) -> list[Any]:
        """Kubernetes events of a pod."""

    def log(self, pod: Pod) -> Iterator[bytes]:
        """The end of the main container's log."""

    def unmade(self) -> list[tuple[str, str]]:
        """Parts of the run whose pods cannot be created, with the reason, e.g. a quota."""


class KubernetesPods:
    """Pods of a run, from the Kubernetes API."""

    def __init__(self, api: KubernetesApi, namespace: str, run_id: str) -> None:
        self.namespace = namespace
        self._api, self._run_id = api, run_id
        self._core = f"/api/v1/namespaces/{namespace}"

    @classmethod
    def find(cls, api: KubernetesApi, run_id: str, namespaces: Iterable[str]) -> "KubernetesPods | None":
        """Find the namespace of a run; None if the API does not have the run or denies access.

        Args:
            namespaces: Namespaces to search if cluster-wide access is denied.

        Raises:
            ServiceUnavailable: If the API does not respond.
        """
        places = ["", *(f"/namespaces/{namespace}" for namespace in namespaces)]
        for path in (f"{base}{place}/{kind}" for place in places for base, kind in (("/api/v1", "pods"), (_ARGO, "workflows"))):
            try:
                found = api.get(path, labelSelector=f"{RUN_LABEL}={run_id}", limit=1).get("items")
            except Refused:
                continue
            if found:
                return cls(api, str(found[0]["metadata"]["namespace"]), run_id)
        return None

    def of(self, nodes: Iterable[Node]) -> list[Pod]:
        try:
            answer = self._api.get(f"{self._core}/pods", labelSelector=f"{RUN_LABEL}={self._run_id}", limit=_LIMIT)
        except Refused:
            return []
        return sorted(map(Pod, answer.get("items") or []), key=lambda pod: pod.created, reverse=True)

    def events(self, pod: Pod) -> list[Any]:
        try:
            answer = self._api.get(f"{self._core}/events", fieldSelector=f"involvedObject.name={pod.name}", limit=_LIMIT)
        except Refused:
            return []
        return list(answer.get("items") or [])

    def log(self, pod: Pod) -> Iterator[bytes]:
        try:
            yield from self._api.stream(f"{self._core}/pods/{pod.name}/log", container=MAIN, tailLines=TAIL_LINES)
        except Refused:
            return

    def unmade(self) -> list[tuple[str, str]]:
        try:
            path = f"{_ARGO}/namespaces/{self.namespace}/workflows"
            answer = self._api.get(path, labelSelector=f"{RUN_LABEL}={self._run_id}", limit=1)
        except Refused:
            return []
        found = [(workflow.get("status") or {}).get("nodes") or {} for workflow in answer.get("items") or []]
        pods = {pod.node for pod in self.of(())}
        return [
            (step_of(str(node.get("name", ""))), " ".join(str(node["message"]).split()))
            for nodes in found
            for key, node in nodes.items()
            if node.get("type") == "Pod" and node.get("phase") == "Pending" and key not in pods
            if node.get("message", "") not in _UNDER_WAY
        ]


class DashboardPods:
    """Pods of a run, from the dashboard's server, which finds them by name only."""

    def __init__(self, kubeflow: Kubeflow, run_id: str, namespaces: Iterable[str]) -> None:
        self._kubeflow, self._run_id, self._namespaces = kubeflow, run_id, list(namespaces)
        self._there = True

    def of(self, nodes: Iterable[Node]) -> list[Pod]:
        asked = ((namespace, name) for node in nodes for name in node.pods for namespace in self._namespaces)
        found = []
        for namespace, name in asked:
            if answer := self._ask("/k8s/pod", namespace, name):
                self._namespaces = [namespace]  # all pods of a run are in one namespace
                found.append(Pod(answer))
        return found

    def events(self, pod: Pod) -> list[Any]:
        answer = self._ask("/k8s/pod/events", pod.namespace or self._namespaces[0], pod.name) or {}
        return list(answer.get("items") or [])

    def log(self, pod: Pod) -> Iterator[bytes]:
        namespace = pod.namespace or self._namespaces[0]
        yield from self._kubeflow.stream("/k8s/pod/logs", podname=pod.name, podnamespace=namespace, runid=self._run_id)

    def unmade(self) -> list[tuple[str, str]]:
        return []

    def _ask(self, path: str, namespace: str, name: str) -> Any:
        """Get an object; None if the server has no such route or pod, or denies access."""
        if not self._there:
            return None
        try:
            body = b"".join(self._kubeflow.stream(path, podname=name, podnamespace=namespace))
            found = json.loads(body)
        except kfp_server_api.ApiException as error:
            self._there = error.status != NO_SUCH_PAGE
            return None
        except ValueError:
            self._there = False  # an HTML page
            return None
        except urllib3.exceptions.HTTPError:
            return None
        return found if isinstance(found, dict) else None


class RunPods:
    """The source of a run's pods, found once: Kubernetes if it is reachable and has the run, else the dashboard."""

    def __init__(self, kubeflow: Kubeflow, run_id: str, namespace: str | None) -> None:
        self._kubeflow, self._run_id, self._namespace = kubeflow, run_id, namespace
        self._api: KubernetesApi | None = None
        self._reachable = True
        self._found: list[Pods] = []
        self._dashboard: Pods | None = None

    def __call__(self) -> list[Pods]:
        if not self._found and (pods := self._in_kubernetes()):
            self._found = [pods]
        if self._found:
            return self._found
        self._dashboard = self._dashboard or DashboardPods(self._kubeflow, self._run_id, self._namespaces())
        return [self._dashboard]

    def _in_kubernetes(self) -> Pods | None:
        if not self._reachable:
            return None
        try:
            self._api = self._api or KubernetesApi.connect(self._kubeflow.connection.kube_context)
            return KubernetesPods.find(self._api, self._run_id, self._namespaces())
        except (InputError, ServiceUnavailable):
            self._reachable = False  # no kubeconfig, or one of another cluster
            return None

    def _namespaces(self) -> list[str]:
        """Possible namespaces of a run, most likely first."""
        of_context = self._api.namespace if self._api else None
        places = (self._namespace, of_context, self._kubeflow.connection.installation, OUR_NAMESPACE)
        return list(dict.fromkeys(place for place in places if place))

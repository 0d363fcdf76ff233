"""Observation of a deployment: KServe's status, and the pods behind it."""

from dataclasses import dataclass, field
from typing import Any

from stagewright.components.serving.manifests.inference_service import VERSION_ANNOTATION
from stagewright.components.serving.targets import pod_states
from stagewright.components.serving.targets.cluster_client import InferenceServices
from stagewright.components.serving.targets.pod_states import PodStates
from stagewright.components.serving.targets.readiness import Readiness, readiness

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """State of a deployment.

    Attributes:
        ready: Whether the model can be probed. Only its response shows the version: KServe's status can carry the applied
            generation and still describe the previous revision.
        failed: Whether there is a permanent failure.
        failures: KServe's messages first, then Kubernetes' messages about the pods.
        summary: One line for a log.
    """

    ready: bool
    failed: bool
    failures: tuple[str, ...]
    summary: str
    status: Readiness


@dataclass(slots=True)
class Rollout:
    """Observes how a version replaces the previous one.

    Attributes:
        document: The applied document.
        generation: The generation that it created.
        known: Earlier events, which are ignored.
    """

    services: InferenceServices
    document: Document
    generation: int = 0
    known: set[tuple[str, int]] = field(default_factory=set)

    def begin(self) -> None:
        """Remember the events that precede the deployment."""
        self.known = {_identity(event) for event in self._refusals()}

    def observe(self) -> Observation:
        """The current state of the deployment."""
        status = readiness(self.services.get(self._name) or {}, self.generation)
        pods = self._pods()
        # Knative keeps the pods of an old revision for a while; they receive no requests.
        replaced = self._knative or not pods.others
        others = () if replaced or not status.ready else (f"{pods.others} of its pods still serve another version",)
        return Observation(
            ready=status.ready and replaced and not pods.failed,
            failed=status.failed or pods.failed,
            failures=(*(status.failures if not status.ready else ()), *pods.failures, *others),
            summary="; ".join([status.summary, *pods.failures, *others]),
            status=status,
        )

    @property
    def _name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def _knative(self) -> bool:
        return str(self.document["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]) == "Knative"

    def _pods(self) -> PodStates:
        found = self.services.pods(self._name)
        if found is None:  # no permission to list pods: KServe's status and the responses must suffice
            return PodStates()
        version = str(self.document["metadata"]["annotations"][VERSION_ANNOTATION])
        pods = pod_states.alive(found)
        waiting = pod_states.pending(pod_states.of_version(pods, version))
        events = [event for pod in waiting[:3] for event in self.services.events(name=pod["metadata"]["name"])]
        fresh = [event for event in self._refusals() if _identity(event) not in self.known]
        return pod_states.states(pods, version, events, fresh)

    def _refusals(self) -> list[Document]:
        """Events about pods of this service that could not be created: a quota, or a policy of the namespace."""
        told = self.services.events(kind="ReplicaSet", reason="FailedCreate")
        return [event for event in told if str(event["involvedObject"].get("name", "")).startswith(f"{self._name}-predictor-")]


def _identity(event: Document) -> tuple[str, int]:
    """Identity of an event: a repeated event keeps its object and increases its count."""
    series = event.get("series") or {}
    return str(event["metadata"].get("uid")), int(event.get("count") or 0) + int(series.get("count") or 0)

"""Problems of a service's pods, in Kubernetes' own words: KServe's status does not report pods that never started."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

VERSION_LABEL = "app.kubernetes.io/version"
_STARTING = {"ContainerCreating", "PodInitializing"}
_NOT_STARTED = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
# Node autoscalers emit these events when they add capacity; without one an unschedulable pod waits forever.
_ROOM_IS_MADE = {"TriggeredScaleUp", "Nominated"}
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class PodStates:
    """State of a service's pods.

    Attributes:
        failed: Whether a pod of the version cannot start without a change.
        failures: The reasons, one clause per pod.
        others: How many pods of another version still run.
    """

    failed: bool = False
    failures: tuple[str, ...] = ()
    others: int = 0


def alive(pods: Iterable[Document]) -> list[Document]:
    """Pods that are neither finished nor terminating."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _phase(pod) not in {"Failed", "Succeeded"}]


def of_version(pods: Iterable[Document], version: str) -> list[Document]:
    """Pods of a version."""
    return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(VERSION_LABEL) == version]


def pending(pods: Iterable[Document]) -> list[Document]:
    """Pods whose containers have not all started."""
    return [pod for pod in pods if _phase(pod) == "Pending" or _stopped(pod)]


def states(pods: list[Document], version: str, events: Iterable[Document], refusals: Iterable[Document]) -> PodStates:
    """State of a service's pods.

    Args:
        pods: Running pods of any version.
        version: The version that is being deployed.
        events: Kubernetes events of these pods.
        refusals: Events that say why a pod was not created.
    """
    ours = of_version(pods, version)
    by_pod: dict[str, list[Document]] = {}
    for event in events:
        by_pod.setdefault(event["involvedObject"].get("name", ""), []).append(event)
    found = [_trouble(pod, by_pod.get(pod["metadata"]["name"], [])) for pod in ours]
    troubles = [trouble for trouble in found if trouble]
    if not ours:
        troubles += [(f"no pod can be made: {_words(event.get('message'))}", True) for event in refusals][:1]
    return PodStates(any(final for _, final in troubles), tuple(clause for clause, _ in troubles), len(pods) - len(ours))


def _trouble(pod: Document, events: list[Document]) -> tuple[str, bool] | None:
    """Why a pod does not run, and whether the reason is permanent."""
    name = pod["metadata"]["name"]
    unscheduled = _unscheduled(pod)
    if unscheduled:
        room = any(event.get("reason") in _ROOM_IS_MADE for event in events)
        return f"pod {name} cannot be scheduled: {_words(unscheduled.get('message'))}", not room
    stopped = _stopped(pod)
    if stopped:
        container, reason, message = stopped
        return f"container {container} of pod {name} cannot start ({reason}): {_words(message)}", True
    told = [event for event in events if event.get("reason") in _NOT_STARTED] if _phase(pod) == "Pending" else []
    if told:
        last = told[-1]
        return f"pod {name} cannot start ({last['reason']}): {_words(last.get('message'))}", True
    return None


def _unscheduled(pod: Document) -> Document | None:
    conditions: list[Document] = (pod.get("status") or {}).get("conditions") or []
    return next(
        (one for one in conditions if one.get("type") == "PodScheduled" and one.get("status") == "False"),
        None,
    )


def _stopped(pod: Document) -> tuple[str, str, str] | None:
    """The first container that waits because of a problem: its name, the reason, the message."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            last = ((container.get("lastState") or {}).get("terminated") or {}).get("message")
            return container["name"], waiting["reason"], last or waiting.get("message") or "no more is said"
    return None


def _phase(pod: Document) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _words(text: Any) -> str:
    return " ".join(str(text or "no more is said").split())[:_SHOWN]

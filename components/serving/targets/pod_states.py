"""What holds the pods of a service up, in Kubernetes' own words: KServe's status does not tell what never came to run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

VERSION_LABEL = "app.kubernetes.io/version"
_STARTING = {"ContainerCreating", "PodInitializing"}
_NOT_STARTED = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
# Autoscalers of nodes say so when they make room; without one a pod that fits nowhere waits for ever.
_ROOM_IS_MADE = {"TriggeredScaleUp", "Nominated"}
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class PodStates:
    """What is known of a service's pods.

    Attributes:
        failed: Whether one of the version's pods cannot start by itself.
        failures: Why, one clause a pod.
        others: How many pods of another version still run.
    """

    failed: bool = False
    failures: tuple[str, ...] = ()
    others: int = 0


def alive(pods: Iterable[Document]) -> list[Document]:
    """Pods that are neither done nor on their way out."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _phase(pod) not in {"Failed", "Succeeded"}]


def of_version(pods: Iterable[Document], version: str) -> list[Document]:
    """Those that were made for a version."""
    return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(VERSION_LABEL) == version]


def pending(pods: Iterable[Document]) -> list[Document]:
    """Those whose containers have not all been started."""
    return [pod for pod in pods if _phase(pod) == "Pending" or _stopped(pod)]


def states(pods: list[Document], version: str, events: Iterable[Document], refusals: Iterable[Document]) -> PodStates:
    """What a service's pods tell.

    Args:
        pods: Those that are alive, of any version.
        version: The version that is deployed.
        events: Kubernetes' events about them.
        refusals: Events that tell why a pod was not even made.
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
    """Why a pod does not run, and whether that lasts until somebody mends it."""
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
    """The first container that waits for something other than its turn: its name, the reason, the words."""
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

"""What pods tell of a deployment, in the statuses and events that Kubernetes writes."""

from typing import Any

import pytest

from stagewright.components.serving.targets.pod_states import PodStates, alive, pending, states

Document = dict[str, Any]


def pod(status: Document, *, name: str = "wine-1", version: str = "v1.1.0", **metadata: Any) -> Document:
    labels = {"app.kubernetes.io/version": version}
    return {"metadata": {"name": name, "labels": labels, **metadata}, "status": status}


def event(reason: str, message: str, *, about: str = "wine-1") -> Document:
    return {"metadata": {"uid": reason}, "involvedObject": {"name": about}, "reason": reason, "message": message}


def waiting(reason: str, message: str = "", *, last: str = "") -> Document:
    state: Document = {"name": "kserve-container", "state": {"waiting": {"reason": reason, "message": message}}}
    return {**state, "lastState": {"terminated": {"message": last}}} if last else state


UNSCHEDULED = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes:\n no cpu"}],
}
NO_ROOM = "pod wine-1 cannot be scheduled: 0/1 nodes: no cpu"
RUNNING = {"phase": "Running", "containerStatuses": [{"name": "kserve-container", "state": {"running": {}}}]}


@pytest.mark.parametrize(
    ("status", "events", "failed", "clause"),
    [
        (UNSCHEDULED, [], True, NO_ROOM),
        (UNSCHEDULED, [event("TriggeredScaleUp", "+1")], False, NO_ROOM),
        (UNSCHEDULED, [event("TriggeredScaleUp", "+1", about="wine-2")], True, NO_ROOM),
        (
            {"phase": "Pending", "initContainerStatuses": [waiting("ImagePullBackOff", "no such image") | {"name": "fetch"}]},
            [], True, "container fetch of pod wine-1 cannot start (ImagePullBackOff): no such image",
        ),
        (
            {"phase": "Pending", "containerStatuses": [waiting("CreateContainerConfigError", "no secret")]},
            [], True, "container kserve-container of pod wine-1 cannot start (CreateContainerConfigError): no secret",
        ),
        (
            {"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff", "back-off", last="a damaged graph")]},
            [], True, "container kserve-container of pod wine-1 cannot start (CrashLoopBackOff): a damaged graph",
        ),
        (
            {"phase": "Pending", "containerStatuses": [waiting("ContainerCreating")]},
            [event("FailedMount", 'configmap "minio-ca" not found')], True,
            'pod wine-1 cannot start (FailedMount): configmap "minio-ca" not found',
        ),
    ],
)  # fmt: skip
def test_what_holds_a_pod_up_is_told(status: Document, events: list[Document], failed: bool, clause: str) -> None:
    assert states([pod(status)], "v1.1.0", events, []) == PodStates(failed, (clause,))


@pytest.mark.parametrize(
    "status",
    [RUNNING, {"phase": "Pending"}, {"phase": "Pending", "containerStatuses": [waiting("ContainerCreating")]}, {}],
)
def test_a_pod_that_is_on_its_way_is_no_failure(status: Document) -> None:
    assert states([pod(status)], "v1.1.0", [], []) == PodStates()


def test_a_mount_that_failed_at_first_is_no_failure_of_a_running_pod() -> None:
    assert states([pod(RUNNING)], "v1.1.0", [event("FailedMount", "timed out")], []) == PodStates()


def test_troubles_of_another_version_are_not_ours() -> None:
    old = pod(UNSCHEDULED, version="v1.0.0")

    assert states([old, pod(RUNNING)], "v1.1.0", [], []) == PodStates(others=1)


def test_a_pod_that_may_not_be_made_is_told_as_long_as_there_is_none() -> None:
    refused = [event("FailedCreate", "exceeded quota: cpu", about="wine-predictor-1")]

    assert states([], "v1.1.0", [], refused) == PodStates(True, ("no pod can be made: exceeded quota: cpu",))
    assert states([pod(RUNNING)], "v1.1.0", [], refused) == PodStates()


def test_pods_that_are_done_or_leave_are_passed_over() -> None:
    leaving = pod(RUNNING, deletionTimestamp="2026-11-28T00:00:00Z")
    there = pod(RUNNING)

    assert alive([leaving, pod({"phase": "Failed"}), pod({"phase": "Succeeded"}), there]) == [there]
    assert pending([there, pod(UNSCHEDULED)]) == [pod(UNSCHEDULED)]

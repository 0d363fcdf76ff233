"""What a pod's object says, in one sentence, as Kubernetes 1.34 writes pods and events."""

from typing import Any

import pytest

from stagewright.pipelines.kubeflow.pod_states import Pod, step_of


def pod(status: dict[str, Any], node: str = "w.root.train-model.executor(0)") -> Pod:
    annotations = {"workflows.argoproj.io/node-name": node, "workflows.argoproj.io/node-id": "w-1"}
    return Pod({"metadata": {"name": "w-impl-1", "namespace": "ns", "annotations": annotations}, "status": status})


def waiting(reason: str, message: str = "", *, kind: str = "containerStatuses") -> dict[str, Any]:
    return {"phase": "Pending", kind: [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]}


def ended(reason: str, code: int, message: str = "", *, name: str = "main") -> dict[str, Any]:
    state = {"terminated": {"reason": reason, "exitCode": code, "message": message}}
    other = {"name": "wait", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
    return {"phase": "Failed", "containerStatuses": [other, {"name": name, "state": state}]}


NO_ROOM = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."
UNSCHEDULED = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}],
}
EVENTS = [
    {"type": "Normal", "reason": "Pulled", "message": "pulled", "lastTimestamp": "2026-03-01T12:00:09Z"},
    {"type": "Warning", "reason": "Old", "message": "old", "lastTimestamp": "2026-03-01T12:00:01Z"},
    {
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "minio-ca" : configmap "minio-ca" not found',
        "eventTime": "2026-03-01T12:00:05.000001Z",
        "lastTimestamp": None,
    },
]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (UNSCHEDULED, "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available (Unschedulable)"),
        (
            waiting("CreateContainerConfigError", 'secret "stagewright-storage" not found'),
            'secret "stagewright-storage" not found (CreateContainerConfigError)',
        ),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "stagewright-base:0.1.0"', kind="initContainerStatuses"),
            'Back-off pulling image "stagewright-base:0.1.0" (ImagePullBackOff)',
        ),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("PodInitializing"), None),
        (waiting("ContainerCreating"), None),
        ({"phase": "Pending"}, None),
        ({}, None),
    ],
)
def test_why_a_pod_waits(status: dict[str, Any], sentence: str | None) -> None:
    assert pod(status).waits
    assert pod(status).why_it_waits() == sentence


def test_the_last_warning_tells_where_the_pod_does_not() -> None:
    assert pod(waiting("PodInitializing")).why_it_waits(EVENTS) == 'configmap "minio-ca" not found (FailedMount)'
    assert pod(waiting("PodInitializing")).why_it_waits(EVENTS[:1]) is None
    assert pod(UNSCHEDULED).why_it_waits(EVENTS) == pod(UNSCHEDULED).why_it_waits()


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (ended("OOMKilled", 137), "was killed: out of memory (exit code 137)"),
        (ended("OOMKilled", 0), "was killed: out of memory (exit code 137)"),
        (ended("Error", 137), "was killed (exit code 137): out of memory, or the node ended it"),
        (ended("Error", 143), "was ended (exit code 143)"),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "},
            "the pod was ended: The node was low on resource: memory (Evicted)",
        ),
        (
            {**ended("Error", 137), "reason": "DeadlineExceeded", "message": "Pod was active longer than specified"},
            "the pod was ended: Pod was active longer than specified (DeadlineExceeded)",
        ),
        (ended("StartError", 128, "exec: no such file"), "cannot be started: exec: no such file (StartError)"),
        (ended("Error", 1, "failed to save", name="wait"), "container wait failed with exit code 1: failed to save (Error)"),
        (ended("Error", 3, "said at the end"), "ended with exit code 3: said at the end"),
        (ended("Error", 1), None),
        (ended("Completed", 0), None),
        ({}, None),
    ],
)
def test_what_ended_a_pod(status: dict[str, Any], sentence: str | None) -> None:
    assert pod(status).what_ended_it() == sentence


def test_the_end_of_the_log_may_be_in_the_pods_own_state() -> None:
    line = 'x\n{"time": "1", "event": "step_failed", "error": "no column"}\nF0301 exit'
    assert pod(ended("Error", 2, line)).last_words() == "no column"
    assert pod(ended("Error", 2, "nothing")).last_words() is None


@pytest.mark.parametrize("status", [{"phase": "Running"}, {"phase": "Failed"}, {"phase": "Succeeded"}])
def test_a_pod_that_began_does_not_wait(status: dict[str, Any]) -> None:
    assert not pod(status).waits


@pytest.mark.parametrize(
    ("node", "step"),
    [
        ("w.root.train-model.executor(0)", "train-model"),
        ("w.root.train-model.executor", "train-model"),
        ("w.root.train-model-driver(1)", "train-model-driver"),
        ("w.root.for-loop-1.iteration-iterations(0:0).fit.executor(2)", "fit"),
        ("w", "w"),
    ],
)
def test_which_step_a_pod_belongs_to(node: str, step: str) -> None:
    assert step_of(node) == step
    assert pod({}, node).step == step


def test_a_pod_without_annotations_is_called_by_its_name() -> None:
    assert Pod({"metadata": {"name": "alone"}}).step == "alone"

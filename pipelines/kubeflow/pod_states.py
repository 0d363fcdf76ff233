"""Explain a pod in one sentence, from its state and events: why it waits, or why it ended."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stagewright.pipelines.kubeflow.step_logs import sentence_in

Document = Mapping[str, Any]
MAIN = "main"
OUT_OF_MEMORY, KILLED, TERMINATED = "OOMKilled", 137, 143
_NEVER_RAN = {"StartError", "ContainerCannotRun"}
_NOTHING_YET = {"PodInitializing", "ContainerCreating", ""}
_SHOWN = 400
_SIGNALS = {KILLED: "was killed (exit code 137): out of memory, or the node ended it", TERMINATED: "was ended (exit code 143)"}
_NODE_NAME, _NODE_ID = "workflows.argoproj.io/node-name", "workflows.argoproj.io/node-id"
_WRAPPING = re.compile(r"^(MountVolume\.SetUp failed for volume \"[^\"]*\" ?: |Error: |Failed to pull image \"[^\"]*\": )+")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a run."""

    document: Document

    @property
    def name(self) -> str:
        return str(self._metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        return str(self._metadata.get("namespace", ""))

    @property
    def node(self) -> str:
        """Id of its Argo node; empty if unknown."""
        return str(self._metadata.get("annotations", {}).get(_NODE_ID, ""))

    @property
    def step(self) -> str:
        """The step or driver that the pod belongs to: `train-model`, `train-model-driver`."""
        return step_of(str(self._metadata.get("annotations", {}).get(_NODE_NAME, ""))) or self.name

    @property
    def created(self) -> datetime:
        return moment(self._metadata.get("creationTimestamp"))

    @property
    def waits(self) -> bool:
        """Whether the pod has not started."""
        return self._status.get("phase", "Pending") == "Pending" and "deletionTimestamp" not in self._metadata

    @property
    def _metadata(self) -> Document:
        found: Document = self.document.get("metadata") or {}
        return found

    @property
    def _status(self) -> Document:
        found: Document = self.document.get("status") or {}
        return found

    def why_it_waits(self, events: Iterable[Document] = ()) -> str | None:
        """Why the main container does not start; None if Kubernetes gives no reason.

        Args:
            events: Events of the pod, in any order.
        """
        for condition in self._status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return _clause(condition.get("message"), condition.get("reason"))
        for container in self._containers():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason", "") not in _NOTHING_YET:
                return _clause(waiting.get("message"), waiting["reason"])
        return warning_in(events)

    def what_ended_it(self) -> str | None:
        """Why Kubernetes ended the pod; None if it ended by itself."""
        if self._status.get("reason"):  # Evicted, DeadlineExceeded, Preempting, NodeLost ...
            return f"the pod was ended: {_clause(self._status.get('message'), self._status['reason'])}"
        return next((found for container in self._containers() if (found := _what_ended(container))), None)

    def last_words(self) -> str | None:
        """The step's error message, if the pod's state contains the end of the log."""
        for container in self._containers():
            ended = (container.get("state") or {}).get("terminated") or {}
            if said := sentence_in([str(ended.get("message") or "").encode()]):
                return said
        return None

    def _containers(self) -> list[Document]:
        """Container statuses in start order; the main container before sidecars."""
        ours = sorted(self._status.get("containerStatuses") or [], key=lambda one: one.get("name") != MAIN)
        return [*(self._status.get("initContainerStatuses") or []), *ours]


def step_of(node_name: str) -> str:
    """The step or driver that an Argo node belongs to.

    >>> step_of("train-model-x7k2.root.register-model.executor(1)"), step_of("train-model-x7k2.root.split-data-driver")
    ('register-model', 'split-data-driver')
    """
    path = node_name.split(".")
    if len(path) > 1 and re.fullmatch(r"executor(\(\d+\))?", path[-1]):
        path.pop()
    return re.sub(r"\(\d+\)$", "", path[-1])


def warning_in(events: Iterable[Document]) -> str | None:
    """Text of the latest warning event."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    last = max(warnings, key=lambda event: moment(event.get("lastTimestamp") or event.get("eventTime")))
    return _clause(last.get("message"), last.get("reason"))


def moment(text: Any) -> datetime:
    """Parse a Kubernetes timestamp; the earliest datetime if it is invalid."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _what_ended(container: Document) -> str | None:
    ended = (container.get("state") or {}).get("terminated") or {}
    reason, code = ended.get("reason", ""), ended.get("exitCode", 0)
    found = None
    if reason == OUT_OF_MEMORY:
        found = f"was killed: out of memory (exit code {code or KILLED})"
    elif reason in _NEVER_RAN:
        found = f"cannot be started: {_clause(ended.get('message'), reason)}"
    elif code in _SIGNALS:
        found = _SIGNALS[code]
    elif code and container.get("name") != MAIN:
        found = f"container {container.get('name')} failed with exit code {code}: {_clause(ended.get('message'), reason)}"
    elif code and ended.get("message"):
        found = f"ended with exit code {code}: {_clause(ended['message'], '')}"
    return found


def _clause(message: Any, reason: Any) -> str:
    """`configmap "minio-ca" not found (FailedMount)`."""
    words = _WRAPPING.sub("", " ".join(str(message or "").split()))[:_SHOWN].rstrip(".")
    if not words:
        return str(reason or "no reason given")
    return f"{words} ({reason})" if reason else words

"""How a run goes on a stand-in for Kubeflow Pipelines 2.17: the nodes that its API lists, one look after the other; its pods.

Laid out as the real server does: for each task of the spec a `-driver`, a group of the task's name and in it an `executor`,
with an attempt below it for each try where the step is retried. A node names those below it by Argo's ids, among them those of
the next task; no node names its own, nor its pod; and there is no word of why a step failed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api

from stagewright.pipelines.kubeflow.argo_names import node_id

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_A_LOOK = 10


@dataclass
class Plan:
    """What is to happen.

    Attributes:
        fails: Steps that fail, with their sentence.
        told_in: Where the sentence is found: error, history, log, archive (where the pod is gone) or nowhere.
        attempts: How often a failing step is tried; 0 for a step that is not retried.
        log: Makes a failing step's log of its line and the number of the attempt; None for a short one.
        says: Notices of steps, in their logs.
        waits: Steps whose pods do not begin, for so many looks, with what Kubernetes' events say.
        skipped: Groups whose condition is not met.
        canceled_after: Look after which somebody terminates the run.
        driver_fails: A task whose driver fails, so that its step never begins.
    """

    fails: Mapping[str, str] = field(default_factory=dict)
    told_in: str = "log"
    skipped: tuple[str, ...] = ()
    canceled_after: int | None = None
    driver_fails: str | None = None
    attempts: int = 0
    log: Callable[[str, int], bytes] | None = None
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waits: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Workflow:
    """A run's nodes as a function of how often it was looked at: each step runs for two looks."""

    run_id: str
    spec: dict[str, Any]
    plan: Plan
    looks: int = 0

    def __post_init__(self) -> None:
        self._order = list(self._tasks(self.spec["root"]["dag"]))
        self.name = f"{self.spec['pipelineInfo']['name']}-{self.run_id[:5]}"
        self._held: dict[str, int] = {}

    def look(self) -> tuple[str, list[kfp_server_api.V2beta1PipelineTaskDetail]]:
        """The run's state and its nodes now; the next look sees more."""
        now, self.looks = self.looks - sum(self._held.values()), self.looks + 1
        first, first_group = self._order[0]
        root = self._node("root", "RUNNING", 1, None, [self._id(first_group, f"{first}-driver")])
        nodes = [self._node("root-driver", "SUCCEEDED", 0, 1, [self._id()]), root]
        for index, (name, group) in enumerate(self._order):
            begins = 2 * index + 1
            if now < begins:
                return ("PENDING" if now == 0 else "RUNNING"), nodes
            if group in self.plan.skipped:
                nodes.append(self._node(group, "SKIPPED", begins, begins))
                continue
            if group:
                nodes.append(self._node(f"{group}-driver", "SUCCEEDED", begins, begins, [self._id(group)]))
                nodes.append(self._node(group, "RUNNING", begins, None, [self._id(group, f"{name}-driver")]))
            if name == self.plan.driver_fails:
                nodes.append(self._node(f"{name}-driver", "FAILED", begins, begins + 1))
                return "FAILED", nodes
            nodes.append(self._node(f"{name}-driver", "SUCCEEDED", begins, begins, [self._id(group, name)]))
            if self._held.get(name, 0) < self.plan.waits.get(name, (0, ""))[0]:
                self._held[name] = self._held.get(name, 0) + 1
                return "RUNNING", nodes + self._step(name, group, "RUNNING", begins, None, pod="PENDING")
            if now < begins + 1:
                nodes += self._step(name, group, "RUNNING", begins, None)
                canceled = self.plan.canceled_after is not None and now >= self.plan.canceled_after
                return ("CANCELED" if canceled else "RUNNING"), nodes
            failed = name in self.plan.fails
            nodes += self._step(name, group, "FAILED" if failed else "SUCCEEDED", begins, begins + 2)
            if failed:
                return "FAILED", nodes
        return "SUCCEEDED", nodes

    def log(self, pod: str) -> bytes | None:
        """What a pod wrote; the API knows it by the pod's name."""
        gone = self.plan.told_in == "archive"
        return None if gone else next((self._log(name, attempt) for name, attempt, _, its in self._pods() if its == pod), None)

    def archived(self, node: str) -> bytes | None:
        """What the pod of a node wrote, as Argo kept it."""
        kept = self.plan.told_in == "archive"
        return next((self._log(name, attempt) for name, attempt, its, _ in self._pods() if its == node), None) if kept else None

    def pod(self, name: str) -> dict[str, Any] | None:
        """A pod that does not begin, as Kubernetes writes it; there are no others."""
        for step, _, node, its in self._pods():
            if its == name and self._held.get(step, 0) > 0 and not self._begun(step):
                waiting = {"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}
                path = f"{self.name}.root.{step}.executor"
                annotations = {"workflows.argoproj.io/node-id": node, "workflows.argoproj.io/node-name": path}
                metadata = {"name": name, "namespace": "kubeflow", "annotations": annotations}
                return {"metadata": metadata, "status": {"phase": "Pending", "containerStatuses": [waiting]}}
        return None

    def events(self, name: str) -> dict[str, Any]:
        """What Kubernetes tells of a pod."""
        said = [self.plan.waits[step][1] for step, _, _, its in self._pods() if its == name and step in self.plan.waits]
        moment = {"lastTimestamp": "2026-03-01T12:00:00Z"}
        events = [{"type": "Normal", "reason": "Scheduled", "message": "assigned", "lastTimestamp": "2026-03-01T12:00:09Z"}]
        return {"items": events + [{"type": "Warning", "reason": "FailedMount", "message": one, **moment} for one in said]}

    def _begun(self, step: str) -> bool:
        """Whether it was seen at work."""
        begins = 2 * [name for name, _ in self._order].index(step) + 1
        return self.looks - sum(self._held.values()) > begins

    def _pods(self) -> Iterator[tuple[str, int, str, str]]:
        """Step, attempt, node and name of every pod that the steps will have."""
        for name, group in self._order:
            template = "retry-system-container-impl" if self.plan.attempts else "system-container-impl"
            for attempt in range(max(1, self.plan.attempts)):
                node = self._id(group, name, f"executor({attempt})" if self.plan.attempts else "executor")
                yield name, attempt, node, f"{self.name}-{template}-{node.rpartition('-')[2]}"

    def _log(self, name: str, attempt: int) -> bytes:
        ours = ['time="now" level=info msg="capturing logs"', '{"time": "12:00", "level": "info", "event": "step_started"}']
        if self.plan.told_in in ("log", "archive"):
            notices = [{"time": "12:00", "event": "notice", "message": one} for one in self.plan.says.get(name, ())]
            ours += [f"2026-03-01T12:00:00Z stderr F {json.dumps(one)}" for one in notices]
        after = [
            "I0301 12:00:01.1 launcher_v2.go:705] uploading executor-logs",
            "F0301 main.go:62] failed to execute component",
        ]
        if name not in self.plan.fails or self.plan.told_in not in ("log", "archive"):
            return "\n".join([*ours, *after]).encode()
        entry = {"time": "12:01", "level": "error", "event": "step_failed", "error": self.plan.fails[name]}
        if self.plan.log:
            return self.plan.log(json.dumps(entry), attempt)
        return "\n".join([*ours, json.dumps(entry), *after]).encode()

    def _tasks(self, dag: dict[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
        waiting = dict(dag["tasks"])
        while waiting:
            ready = [name for name, task in waiting.items() if not set(task.get("dependentTasks", [])) & set(waiting)]
            parts = {name: self.spec["components"][waiting[name]["componentRef"]["name"]] for name in ready}
            name = min(
                ready, key=lambda name, parts=parts, ready=ready: ("dag" in parts[name], ready.index(name))
            )  # groups come last
            component = parts[name]
            del waiting[name]
            if "dag" in component:
                yield from self._tasks(component["dag"], name)
            else:
                yield name, group

    def _step(
        self, name: str, group: str, state: str, begins: int, ends: int | None, pod: str | None = None
    ) -> list[kfp_server_api.V2beta1PipelineTaskDetail]:
        error = None
        if state == "FAILED":
            error = kfp_server_api.GoogleRpcStatus(code=2, message=self.plan.fails[name])
        follower = self._order[(self._order.index((name, group)) + 1) % len(self._order)]
        below = [self._id(group, name, "executor"), self._id(follower[1], f"{follower[0]}-driver")]
        outer = self._node(name, state, begins, ends, below)
        if error and self.plan.told_in == "error":
            outer.error = error
        if error and self.plan.told_in == "history":
            outer.state_history[-1].error = error
        attempts = [f"executor({number})" for number in range(self.plan.attempts)]
        inner = self._node("executor", pod or state, begins, ends, [self._id(group, name, attempt) for attempt in attempts])
        return [outer, inner, *(self._node(attempt, pod or state, begins, ends) for attempt in attempts)]

    def _id(self, *path: str) -> str:
        return node_id(self.name, "root", *filter(None, path))

    def _node(
        self, name: str, state: str, begins: int, ends: int | None, below: list[str] | None = None
    ) -> kfp_server_api.V2beta1PipelineTaskDetail:
        start = BEGAN + timedelta(seconds=begins * SECONDS_A_LOOK)
        end = UNKNOWN if ends is None else BEGAN + timedelta(seconds=ends * SECONDS_A_LOOK)
        return kfp_server_api.V2beta1PipelineTaskDetail(
            run_id=self.run_id,
            task_id=f"{self.run_id}-{name}-{begins}",
            display_name=name,
            create_time=start,
            start_time=start,
            end_time=end,
            state=state,
            state_history=[kfp_server_api.V2beta1RuntimeStatus(update_time=start, state=state)],
            child_tasks=[kfp_server_api.PipelineTaskDetailChildTask(pod_name=node) for node in below or []] or None,
        )

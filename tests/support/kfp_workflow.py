"""How a run goes on a stand-in for Kubeflow Pipelines: the nodes that its API lists, one look after the other.

Laid out as the real server does: for each task of the spec a `-driver`, a group of the task's name and in it an `executor`; the
group names its children by their nodes, and no node names its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_A_LOOK = 10


@dataclass
class Plan:
    """What is to happen.

    Attributes:
        fails: Steps that fail, with their sentence.
        told_in: Where the sentence is found: error, history, log or nowhere.
        skipped: Groups whose condition is not met.
        canceled_after: Look after which somebody terminates the run.
        driver_fails: A task whose driver fails, so that its step never begins.
    """

    fails: Mapping[str, str] = field(default_factory=dict)
    told_in: str = "log"
    skipped: tuple[str, ...] = ()
    canceled_after: int | None = None
    driver_fails: str | None = None


@dataclass
class Workflow:
    """A run's nodes as a function of how often it was looked at: each step runs for two looks."""

    run_id: str
    spec: dict[str, Any]
    plan: Plan
    looks: int = 0

    def __post_init__(self) -> None:
        self._order = list(self._tasks(self.spec["root"]["dag"]))

    def look(self) -> tuple[str, list[kfp_server_api.V2beta1PipelineTaskDetail]]:
        """The run's state and its nodes now; the next look sees more."""
        now, self.looks = self.looks, self.looks + 1
        nodes = [self._node("root-driver", "SUCCEEDED", 0, 1), self._node("root", "RUNNING", 1, None)]
        for index, (name, group) in enumerate(self._order):
            begins = 2 * index + 1
            if now < begins:
                return ("PENDING" if now == 0 else "RUNNING"), nodes
            if group in self.plan.skipped:
                nodes.append(self._node(group, "SKIPPED", begins, begins))
                continue
            if group:
                nodes.append(self._node(f"{group}-driver", "SUCCEEDED", begins, begins))
                nodes.append(self._node(group, "RUNNING", begins, None))
            if name == self.plan.driver_fails:
                nodes.append(self._node(f"{name}-driver", "FAILED", begins, begins + 1))
                return "FAILED", nodes
            nodes.append(self._node(f"{name}-driver", "SUCCEEDED", begins, begins))
            if now < begins + 1:
                nodes += self._step(name, "RUNNING", begins, None)
                canceled = self.plan.canceled_after is not None and now >= self.plan.canceled_after
                return ("CANCELED" if canceled else "RUNNING"), nodes
            failed = name in self.plan.fails
            nodes += self._step(name, "FAILED" if failed else "SUCCEEDED", begins, begins + 2)
            if failed:
                return "FAILED", nodes
        return "SUCCEEDED", nodes

    def log(self, node: str) -> str | None:
        """What a step's pod wrote."""
        for name, _ in self._order:
            if node == self._pod(name):
                lines = [
                    'time="now" level=info msg="capturing logs"',
                    '{"time": "12:00", "level": "info", "event": "step_started"}',
                ]
                if name in self.plan.fails and self.plan.told_in == "log":
                    message = self.plan.fails[name].replace('"', '\\"')
                    lines.append(f'  {{"time": "12:01", "level": "error", "event": "step_failed", "error": "{message}"}}')
                return "\n".join([*lines, "F0301 main.go:62] failed to execute component"])
        return None

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

    def _step(self, name: str, state: str, begins: int, ends: int | None) -> list[kfp_server_api.V2beta1PipelineTaskDetail]:
        error = None
        if state == "FAILED":
            error = kfp_server_api.GoogleRpcStatus(code=2, message=self.plan.fails[name])
        group = self._node(name, state, begins, ends)
        group.child_tasks = [kfp_server_api.PipelineTaskDetailChildTask(pod_name=self._pod(name))]
        if error and self.plan.told_in == "error":
            group.error = error
        if error and self.plan.told_in == "history":
            group.state_history[-1].error = error
        return [group, self._node("executor", state, begins, ends)]

    def _pod(self, name: str) -> str:
        return f"workflow-{self.run_id[:5]}-{sum(map(ord, name))}"

    def _node(self, name: str, state: str, begins: int, ends: int | None) -> kfp_server_api.V2beta1PipelineTaskDetail:
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
        )

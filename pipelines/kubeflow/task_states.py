"""Extract the steps of a run from the API's task list.

The API lists every node of the workflow: drivers, groups, retries, and for each step a group with the step's name that contains
a pod named `executor`. Only container tasks of the pipeline's spec are steps; the other nodes are ignored. A node lists its
child nodes by Argo id, not by pod, and does not contain its own id. A step's error message belongs in `error`, which servers up
to 2.18 leave empty.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp_server_api

from stagewright.pipelines.kubeflow.argo_names import Node, executors

# Nodes to ignore if the spec is unknown.
_MACHINERY = re.compile(
    r"(root|executor|.*-driver|(condition|condition-branches|for-loop|iteration|exit-handler)(-.*)?)(\(.*\))?"
)


@dataclass(frozen=True, slots=True)
class Task:
    """A step in the API's task list.

    Attributes:
        key: Unique key within the run; a step of a loop occurs once per item.
        nodes: Nodes of the step's code, last attempt first.
        error: Error message; empty if the API has none.
    """

    key: str
    name: str
    state: str
    seconds: float
    nodes: tuple[Node, ...]
    error: str = ""


def container_tasks(spec: Mapping[str, Any]) -> set[str]:
    """Names of the container tasks, including nested graphs; empty for an empty spec."""
    components = spec.get("components", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    graphs = [part["dag"] for part in [spec.get("root", {}), *components.values()] if "dag" in part]
    return {
        name
        for graph in graphs
        for name, task in graph["tasks"].items()
        if components.get(task["componentRef"]["name"], {}).get("executorLabel") in executors
    }


def tasks_of(run: kfp_server_api.V2beta1Run, names: Collection[str]) -> list[Task]:
    """Steps of a run in start order.

    Args:
        names: Result of `container_tasks`; if empty, infrastructure nodes are recognized by name.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    chosen = [detail for detail in details if _is_step(detail.display_name or "", names)]
    chosen.sort(key=lambda detail: _began(detail) or datetime.max.replace(tzinfo=UTC))
    ids = {child for detail in details for child in _children(detail)}
    return [_task(detail, ids, details) for detail in chosen]


def pending(run: kfp_server_api.V2beta1Run) -> list[str]:
    """Names of the nodes with a pending pod: `train-model-driver`, or `executor` for a step's own pod."""
    details = (run.run_details.task_details if run.run_details else None) or []
    return [detail.display_name or "" for detail in details if detail.state == "PENDING" and not _children(detail)]


def _is_step(name: str, names: Collection[str]) -> bool:
    return name in names if names else bool(name) and not _MACHINERY.fullmatch(name)


def _task(detail: kfp_server_api.V2beta1PipelineTaskDetail, ids: Collection[str], all_details: list[Any]) -> Task:
    inner = [one for one in all_details if (one.parent_task_id or "-") == detail.task_id]
    nodes = executors(detail.display_name, _children(detail), ids)
    return Task(
        detail.task_id or detail.display_name,
        detail.display_name,
        detail.state or "",
        _seconds(detail),
        tuple([*nodes, Node(detail.pod_name)] if detail.pod_name else nodes),
        next(_errors([detail, *inner]), ""),
    )


def _children(detail: kfp_server_api.V2beta1PipelineTaskDetail) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or [] if child.pod_name]


def _errors(details: list[Any]) -> Iterator[str]:
    for detail in details:
        history = [status.error for status in detail.state_history or [] if status.error]
        for error in [detail.error, *reversed(history)]:
            if error is not None and error.message:
                yield " ".join(error.message.split())


def _began(detail: kfp_server_api.V2beta1PipelineTaskDetail) -> datetime | None:
    """Start time of a task; the server returns 1970 if it is unknown."""
    for moment in (detail.start_time, detail.create_time):
        if moment is not None and moment.year > 1970:
            return moment  # type: ignore[no-any-return]
    return None


def _seconds(detail: kfp_server_api.V2beta1PipelineTaskDetail) -> float:
    began, ended = _began(detail), detail.end_time
    if began is None or ended is None or ended < began:
        return 0.0
    return float((ended - began).total_seconds())

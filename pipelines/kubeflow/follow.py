"""Follow a run on a cluster to its end; its steps are reported like those of a local run, and API outages are tolerated."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import kfp_server_api

from stagewright.components.runtime.errors import ServiceUnavailable
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.failures import Listener
from stagewright.pipelines.kubeflow.run_pods import RunPods
from stagewright.pipelines.kubeflow.task_states import Task, container_tasks, tasks_of
from stagewright.pipelines.kubeflow.waiting import Waiting
from stagewright.pipelines.watch import FAILED, SUCCEEDED, Step, Watch

INTERVAL, PATIENCE = 2.0, 600.0
CANCELED, SKIPPED = "canceled", "skipped"
ENDED = {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "CANCELED": CANCELED, "SKIPPED": SKIPPED}
STEP_ENDED = {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "CANCELED": CANCELED}


@dataclass(slots=True)
class RemoteRun:
    """State of a followed run.

    Attributes:
        status: pending, running, succeeded, failed, canceled or skipped.
        seconds: Time from creation to end, or until now.
        error: Error message if the run failed outside a step.
    """

    run_id: str
    name: str = ""
    url: str | None = None
    status: str = "pending"
    seconds: float = 0.0
    steps: list[Step] = field(default_factory=list)
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED.values()

    @property
    def failed_step(self) -> Step | None:
        return next((step for step in self.steps if step.status == FAILED), None)


def follow(
    kubeflow: Kubeflow,
    run_id: str,
    *,
    watch: Watch | None = None,
    notice: Callable[[str], None] = lambda _: None,
    interval: float | None = None,
    patience: float = PATIENCE,
    into: RemoteRun | None = None,
) -> RemoteRun:
    """Wait for the end of a run.

    Args:
        watch: Called with a step and an event when a step starts or ends, as for a local run.
        notice: Called with a sentence when the API stops or resumes responding, and when a pod does not start.
        interval: Polling interval in seconds; None for INTERVAL.
        patience: Maximum API outage in seconds.
        into: Object to update, so that the state is available after an interrupt.

    Raises:
        InputError: If the run does not exist, or the credential is rejected.
        ServiceUnavailable: If the API outage lasts too long; the run continues.
    """
    seen = into if into is not None else RemoteRun(run_id)
    seen.url = connections.run_page(kubeflow.connection, run_id)
    interval = INTERVAL if interval is None else interval
    look = _Look(kubeflow, notice, interval, patience)
    found: kfp_server_api.V2beta1Run = look.at(lambda: kubeflow.run(run_id))
    seen.name = found.display_name or run_id
    spec = look.at(lambda: kubeflow.spec(found))
    namespace = look.at(lambda: kubeflow.namespace_of(found))
    pods = RunPods(kubeflow, run_id, namespace)
    follower = _Follower(seen, container_tasks(spec), watch, Listener(kubeflow, found, spec, namespace, pods))
    waiting = Waiting(run_id, namespace, pods, notice)
    while True:
        follower.update(found)
        if seen.ended:
            break
        waiting.look(found, follower.running)
        time.sleep(interval)
        found = look.at(lambda: kubeflow.run(run_id))
    if seen.status == FAILED and not seen.failed_step:
        seen.error = _why(found)
    return seen


class _Look:
    """Requests to the API that are repeated during outages."""

    def __init__(self, kubeflow: Kubeflow, notice: Callable[[str], None], interval: float, patience: float) -> None:
        self._connection, self._notice = kubeflow.connection, notice
        self._interval, self._patience = interval, patience

    def at(self, question: Callable[[], Any]) -> Any:
        silent_since = None
        while True:
            try:
                with connections.explained(self._connection):
                    answer = question()
            except ServiceUnavailable as error:
                now = time.monotonic()
                if silent_since is None:
                    silent_since = now
                    self._notice(f"{error}; retrying")
                elif now - silent_since > self._patience:
                    raise
                time.sleep(self._interval)
                continue
            if silent_since is not None:
                self._notice(f"{connections.where(self._connection)} responds again")
            return answer


class _Follower:
    """Converts the API's complete task list, at each poll, into steps and their events."""

    def __init__(self, run: RemoteRun, names: Collection[str], watch: Watch | None, listener: Listener) -> None:
        self._run, self._names, self._watch, self._listener = run, names, watch, listener
        self._steps: dict[str, Step] = {}
        self.running: list[Task] = []

    def update(self, found: kfp_server_api.V2beta1Run) -> None:
        run = self._run
        over = ENDED.get(found.state or "")
        finished = False
        tasks = tasks_of(found, self._names)
        for task in tasks:
            if task.state not in {"RUNNING", *STEP_ENDED}:
                continue
            if task.key not in self._steps:
                self._steps[task.key] = Step(task.name)
                run.steps.append(self._steps[task.key])
                self._tell(self._steps[task.key], "started")
            if self._steps[task.key].status == "running":
                finished |= self._end(self._steps[task.key], task, over)
        self.running = [task for task in tasks if task.key in self._steps and self._steps[task.key].status == "running"]
        working = next((step for step in run.steps if step.status == "running"), None)
        if finished and working:
            self._tell(working, "started")  # the view shows one current step
        run.status = over or ("running" if run.steps or found.state == "RUNNING" else "pending")
        run.seconds = _seconds(found)

    def _end(self, step: Step, task: Task, over: str | None) -> bool:
        """End a step that has ended; the server may not report the end of a step whose run has ended."""
        status = STEP_ENDED.get(task.state) or (over and (SUCCEEDED if over == SUCCEEDED else CANCELED))
        if status is None:
            return False
        step.status, step.seconds, step.exit_code = status, task.seconds, int(status != SUCCEEDED)
        if status in (SUCCEEDED, FAILED):
            said = self._listener.hear(task, failed=status == FAILED)
            step.error, step.notices = said.error, [*said.notices]
        self._tell(step, "finished")
        return True

    def _tell(self, step: Step, event: str) -> None:
        if self._watch is not None:
            self._watch(step, {"event": event})


def _why(found: kfp_server_api.V2beta1Run) -> str:
    """Error message of a run that failed outside a step: its own error, or the failed part."""
    histories = [status.error for status in found.state_history or [] if status.error]
    for error in [found.error, *reversed(histories)]:
        if error is not None and error.message:
            return " ".join(error.message.split())
    details = found.run_details.task_details or [] if found.run_details else []
    failed = [task.display_name for task in details if task.state == "FAILED" and task.display_name]
    return f"{failed[-1]} failed before its step started" if failed else "the run failed before any step started"


def _seconds(found: kfp_server_api.V2beta1Run) -> float:
    if found.created_at is None:
        return 0.0
    end = found.finished_at
    if end is None or end < found.created_at:  # the server returns 1970 for unknown times
        end = datetime.now(UTC)
    return max(0.0, (end - found.created_at).total_seconds())

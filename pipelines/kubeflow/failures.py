"""Find a cluster step's notices and error message: in its log, from several sources, or in its pod's state in Kubernetes.

Kubeflow's API (2.17) does not return them. It returns a pod's log by pod name, but not the name. The dashboard's server does
not forward that request and has its own. After a pod is deleted, its log is an artifact of its node if Argo archives logs, and
Kubeflow's launcher has copied it to the object store with the step's outputs.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kfp_server_api
import urllib3

from stagewright.components.runtime import settings
from stagewright.components.runtime.errors import StagewrightError
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.kubeflow.argo_names import Node
from stagewright.pipelines.kubeflow.client import Kubeflow
from stagewright.pipelines.kubeflow.pod_states import Pod
from stagewright.pipelines.kubeflow.run_pods import Pods
from stagewright.pipelines.kubeflow.step_logs import TAIL, Said, said_in
from stagewright.pipelines.kubeflow.task_states import Task

UNEXPLAINED = "the step ended without an error message; see its log on the dashboard"
DEFAULT_ROOT = "s3://pipelines/runs"  # as manifests/base/pipelines sets it
EXECUTOR_LOGS = "executor-logs"
_PATIENCE = 5.0  # seconds, for an object store that may be unreachable from here


class Listener:
    """Finds notices and error messages of a run's steps.

    Args:
        kubeflow: Installation of the run.
        run: The run.
        spec: Pipeline spec of the run; empty if unknown.
        namespace: Namespace of the run; None in a single-user installation.
        pods: Returns the sources of pods, in order of precedence.
    """

    def __init__(
        self, kubeflow: Kubeflow, run: kfp_server_api.V2beta1Run, spec: dict[str, Any], namespace: str | None,
        pods: Callable[[], list[Pods]],
    ) -> None:  # fmt: skip
        self._kubeflow, self._run, self._spec = kubeflow, run, spec
        self._namespace, self._pods = namespace, pods
        self._no_store = False

    def hear(self, task: Task, *, failed: bool) -> Said:
        """Notices and error message of an ended step; a failed step always has an error message. Never raises."""
        error = task.error or None
        notices: tuple[str, ...] = ()
        for source in (self._of_pods, self._of_the_api, self._of_the_store):
            for said in _while_it_answers(source(task)):
                notices = notices or said.notices
                error = error or said.error
                if error or not failed:
                    return Said(error if failed else None, notices)
        return Said((error or UNEXPLAINED) if failed else None, notices)

    def _of_the_api(self, task: Task) -> Iterator[Said]:
        for node in task.nodes:
            for log in self._logs(node):
                yield from _while_it_answers(_read(log))

    def _logs(self, node: Node) -> Iterator[Iterator[bytes]]:
        """Possible sources of a node's log in the API and dashboard; requests are sent on reading."""
        run_id, kubeflow = self._run.run_id, self._kubeflow
        yield from (kubeflow.log(run_id, pod) for pod in node.pods)
        yield kubeflow.archived_log(run_id, node.id)
        yield from (kubeflow.dashboard_log(run_id, pod, self._namespace) for pod in node.pods)

    def _of_pods(self, task: Task) -> Iterator[Said]:
        """From the pods: their logs, else why they ended."""
        for source in self._pods():
            for pod in _of(task, source.of(task.nodes)):
                said = next(_while_it_answers(_read(source.log(pod))), None)
                error = (said and said.error) or pod.last_words() or pod.what_ended_it()
                if said or error:
                    yield Said(error, said.notices if said else ())

    def _of_the_store(self, task: Task) -> Iterator[Said]:
        """From the launcher's copies of logs, newest first, if the object store is configured."""
        root = (self._run.runtime_config and self._run.runtime_config.pipeline_root) or DEFAULT_ROOT
        scheme, _, place = root.partition("://")
        pipeline = (self._spec.get("pipelineInfo") or {}).get("name")
        if scheme not in ("s3", "minio") or not pipeline or self._no_store:
            return
        self._no_store = True  # until it responds: do not wait for an unreachable store after each step
        store = ObjectStore(
            settings.load_settings(settings.StorageSettings, "the step's log is in the object store"), patience=_PATIENCE
        )
        folder = f"s3://{place.rstrip('/')}/{pipeline}/{self._run.run_id}/{task.name}/"
        logs = [one for one in store.list(folder) if one.uri.endswith(f"/{EXECUTOR_LOGS}")]
        self._no_store = False
        logs.sort(key=lambda one: (one.modified is not None, one.modified), reverse=True)
        for log in logs:
            yield from _read(_tail(store, log.uri))


def _read(log: Iterable[bytes]) -> Iterator[Said]:
    """Notices and error message in a log, if it is not empty."""
    said = said_in(log)
    if not said.empty:
        yield said


def _of(task: Task, pods: Iterable[Pod]) -> list[Pod]:
    """Pods of a step, last attempt first."""
    order = {name: place for place, node in enumerate(task.nodes) for name in (node.id, *node.pods)}
    mine = [pod for pod in pods if pod.node in order or pod.name in order]
    if not mine:
        mine = [pod for pod in pods if pod.step == task.name]
    return sorted(mine, key=lambda pod: order.get(pod.node, order.get(pod.name, 0)))


def _tail(store: ObjectStore, uri: str) -> Iterator[bytes]:
    with store.open(uri) as log:
        log.seek(max(0, store.stat(uri).size - TAIL))
        while chunk := log.read(1 << 16):
            yield chunk


def _while_it_answers(said: Iterator[Said]) -> Iterator[Said]:
    """Yield results until a source fails; failures are ignored because the information is optional."""
    with contextlib.suppress(
        kfp_server_api.ApiException, urllib3.exceptions.HTTPError, StagewrightError, OSError, ValueError, EOFError
    ):
        yield from said

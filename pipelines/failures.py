"""Why a step on a cluster failed: its own sentence, from whoever kept its log; else what Kubernetes says of its pod.

Kubeflow's API has no word of it (2.17). It reads the log of a pod by the pod's name, which it does not tell. The dashboard's
server does not pass that question on and answers one of its own. Once a pod is gone, its log is an artifact of its node if Argo
archives logs; Kubeflow's launcher has copied it to the object store, beside the step's outputs.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kfp_server_api
import urllib3

from stagewright.components.runtime import settings
from stagewright.components.runtime.errors import MissingSetting, StagewrightError
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.argo_names import Node
from stagewright.pipelines.kubeflow import Kubeflow
from stagewright.pipelines.pod_states import Pod
from stagewright.pipelines.run_pods import Pods
from stagewright.pipelines.step_logs import TAIL, sentence_in
from stagewright.pipelines.task_states import Task

UNEXPLAINED = "the step ended without saying why; its log on the dashboard has the rest"
DEFAULT_ROOT = "s3://pipelines/runs"  # as manifests/base/pipelines sets it
EXECUTOR_LOGS = "executor-logs"
_PATIENCE = 5.0  # seconds for an object store that may not be reachable from here


class Explainer:
    """Answers why a step of a run failed.

    Args:
        kubeflow: Where it ran.
        run: The run.
        spec: The pipeline spec that it follows; empty if it is not known.
        namespace: That it is filed under; None where users have none of their own.
        pods: Asked for pods, in this order.
    """

    def __init__(
        self, kubeflow: Kubeflow, run: kfp_server_api.V2beta1Run, spec: dict[str, Any], namespace: str | None,
        pods: Callable[[], list[Pods]],
    ) -> None:  # fmt: skip
        self._kubeflow, self._run, self._spec = kubeflow, run, spec
        self._namespace, self._pods = namespace, pods

    def why(self, task: Task) -> str:
        """One sentence, whatever happens on the way to it."""
        if task.error:
            return task.error
        sources = (self._in_pods, self._in_the_api, self._in_the_store)
        return next((found for source in sources if (found := _or_none(source, task))), UNEXPLAINED)

    def _in_the_api(self, task: Task) -> str | None:
        for node in task.nodes:
            for log in self._logs(node):
                if found := _or_none(sentence_in, log):
                    return found
        return None

    def _logs(self, node: Node) -> Iterator[Iterator[bytes]]:
        """Where the API and the dashboard may have a node's log; nothing is asked before it is read."""
        run_id, kubeflow = self._run.run_id, self._kubeflow
        yield from (kubeflow.log(run_id, pod) for pod in node.pods)
        yield kubeflow.archived_log(run_id, node.id)
        yield from (kubeflow.dashboard_log(run_id, pod, self._namespace) for pod in node.pods)

    def _in_pods(self, task: Task) -> str | None:
        """From the pods themselves: what they wrote, else what ended them."""
        for source in self._pods():
            for pod in _of(task, source.of(task.nodes)):
                said = _or_none(sentence_in, source.log(pod))
                if found := said or pod.last_words() or pod.what_ended_it():
                    return found
        return None

    def _in_the_store(self, task: Task) -> str | None:
        """From the copy of the launcher, if the environment names the object store."""
        root = (self._run.runtime_config and self._run.runtime_config.pipeline_root) or DEFAULT_ROOT
        scheme, _, place = root.partition("://")
        pipeline = (self._spec.get("pipelineInfo") or {}).get("name")
        if scheme not in ("s3", "minio") or not pipeline:
            return None
        try:
            found = settings.load(settings.StorageSettings, "it has the step's log")
        except MissingSetting:
            return None
        store = ObjectStore(found, patience=_PATIENCE)
        folder = f"s3://{place.rstrip('/')}/{pipeline}/{self._run.run_id}/{task.name}/"
        logs = [one for one in store.list(folder) if one.uri.endswith(f"/{EXECUTOR_LOGS}")]
        logs.sort(key=lambda one: (one.modified is not None, one.modified), reverse=True)
        return next((said for one in logs if (said := sentence_in(_tail(store, one.uri)))), None)


def _of(task: Task, pods: Iterable[Pod]) -> list[Pod]:
    """The pods of a step, the last attempt first."""
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


def _or_none(question: Callable[..., str | None], *about: Any) -> str | None:
    """An answer that is good to have; None if there is none."""
    with contextlib.suppress(
        kfp_server_api.ApiException, urllib3.exceptions.HTTPError, StagewrightError, OSError, ValueError, EOFError
    ):
        return question(*about)
    return None

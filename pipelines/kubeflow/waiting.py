"""Report why pods of a followed run do not start, e.g. a missing image or ConfigMap, or a quota."""

import time
from collections.abc import Callable, Collection

import kfp_server_api

from stagewright.components.runtime.errors import StagewrightError
from stagewright.pipelines.kubeflow.pod_states import Pod
from stagewright.pipelines.kubeflow.run_pods import Pods
from stagewright.pipelines.kubeflow.task_states import Task, pending

ASK_EVERY = 5.0  # seconds between two pod requests
BEGINS_WITHIN = 10.0  # seconds in which a pod normally starts; later it is reported
SILENT_AFTER = 30.0  # seconds after which an unknown cause is reported


class Waiting:
    """Reports waiting pods.

    Args:
        run_id: The run.
        namespace: Namespace of the run, for the suggested command; None if unknown.
        pods: Returns the current sources of pods.
        notice: Called once with each sentence.
    """

    def __init__(
        self, run_id: str, namespace: str | None, pods: Callable[[], list[Pods]], notice: Callable[[str], None]
    ) -> None:
        self._run_id, self._namespace, self._pods, self._notice = run_id, namespace, pods, notice
        self._since: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._next = 0.0

    def look(self, run: kfp_server_api.V2beta1Run, running: Collection[Task]) -> None:
        """Check the pods if the interval has passed, and report news.

        Args:
            run: Current state of the run.
            running: Steps that have not ended.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + ASK_EVERY
        known = waits = False
        try:
            for source in self._pods():
                pods = source.of([node for task in running for node in task.nodes])
                known = known or bool(pods)
                for pod in pods:
                    if pod.waits:
                        waits = True
                        self._explain(source, pod, now)
                for step, why in source.unmade():
                    waits = True
                    if self._after(step, now, BEGINS_WITHIN):
                        self._tell(step, f"{step} waits: {why}")
        except StagewrightError:
            pass  # following continues without this information
        if not waits:
            self._guess(run, running, now, known=known)

    def _explain(self, source: Pods, pod: Pod, now: float) -> None:
        if not self._after(pod.name, now, BEGINS_WITHIN):
            return
        why = pod.why_it_waits() or pod.why_it_waits(source.events(pod))
        if why:
            self._tell(pod.name, f"{pod.step} waits: {why}")
        elif self._after(pod.name, now, SILENT_AFTER):
            self._tell(pod.name, f"{pod.step} waits, and Kubernetes gives no reason; to see its state: {self._command()}")

    def _guess(self, run: kfp_server_api.V2beta1Run, running: Collection[Task], now: float, *, known: bool) -> None:
        """Report pending nodes from the API if no pod can be read or none was created."""
        names = pending(run)
        if run.state == "PENDING" and not names:
            names = ["the run"]
        for gone in set(self._since) - set(names):
            self._since.pop(gone)
        for name in names:
            if not self._after(name, now, SILENT_AFTER):
                continue
            steps = " or ".join(sorted({task.name for task in running}))
            what = steps if name.startswith("executor") and steps else name
            cannot = "Kubernetes has no pod for it" if known else "its pod cannot be read from here"
            self._tell(name, f"{what} has not started, and {cannot}; to see its state: {self._command()}")

    def _after(self, what: str, now: float, seconds: float) -> bool:
        """Whether something has waited for this long."""
        return now - self._since.setdefault(what, now) >= seconds

    def _tell(self, what: str, sentence: str) -> None:
        if (what, sentence) not in self._told:
            self._told.add((what, sentence))
            self._notice(sentence)

    def _command(self) -> str:
        place = f"-n {self._namespace}" if self._namespace else "-A"
        return f"kubectl {place} describe workflows,pods -l pipeline/runid={self._run_id}"

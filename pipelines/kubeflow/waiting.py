"""Tells why pods of a run that is followed do not begin, as soon as Kubernetes says so: an image, a quota, a ConfigMap."""

import time
from collections.abc import Callable, Collection

import kfp_server_api

from stagewright.components.runtime.errors import StagewrightError
from stagewright.pipelines.kubeflow.pod_states import Pod
from stagewright.pipelines.kubeflow.run_pods import Pods
from stagewright.pipelines.kubeflow.task_states import Task, pending

ASK_EVERY = 5.0  # seconds between two questions about pods
BEGINS_WITHIN = 10.0  # seconds in which a pod usually begins; after them there is something to tell
SILENT_AFTER = 30.0  # seconds after which it is said that nobody can tell


class Waiting:
    """Watches for pods that wait.

    Args:
        run_id: The run.
        namespace: Where it runs, for the command that is recommended; None if that is not known.
        pods: Who can be asked, anew each time.
        notice: Gets each sentence, once.
    """

    def __init__(
        self, run_id: str, namespace: str | None, pods: Callable[[], list[Pods]], notice: Callable[[str], None]
    ) -> None:
        self._run_id, self._namespace, self._pods, self._notice = run_id, namespace, pods, notice
        self._since: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._next = 0.0

    def look(self, run: kfp_server_api.V2beta1Run, running: Collection[Task]) -> None:
        """Ask about the pods, if it is time; tell what is new.

        Args:
            run: As the API tells of it now.
            running: Its steps that have neither ended nor failed.
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
            pass  # following goes on without
        if not waits:
            self._guess(run, running, now, known=known)

    def _explain(self, source: Pods, pod: Pod, now: float) -> None:
        if not self._after(pod.name, now, BEGINS_WITHIN):
            return
        why = pod.why_it_waits() or pod.why_it_waits(source.events(pod))
        if why:
            self._tell(pod.name, f"{pod.step} waits: {why}")
        elif self._after(pod.name, now, SILENT_AFTER):
            self._tell(pod.name, f"{pod.step} waits, and Kubernetes does not say why; look there: {self._command()}")

    def _guess(self, run: kfp_server_api.V2beta1Run, running: Collection[Task], now: float, *, known: bool) -> None:
        """Where no pod can be looked at, or none was made: what the API says waits."""
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
            cannot = "Kubernetes has no pod of it" if known else "its pod cannot be looked at from here"
            self._tell(name, f"{what} has not begun, and {cannot}; see why: {self._command()}")

    def _after(self, what: str, now: float, seconds: float) -> bool:
        """Whether something has waited for so long."""
        return now - self._since.setdefault(what, now) >= seconds

    def _tell(self, what: str, sentence: str) -> None:
        if (what, sentence) not in self._told:
            self._told.add((what, sentence))
            self._notice(sentence)

    def _command(self) -> str:
        place = f"-n {self._namespace}" if self._namespace else "-A"
        return f"kubectl {place} describe workflows,pods -l pipeline/runid={self._run_id}"

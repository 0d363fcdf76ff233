"""The cluster target: apply the InferenceService, wait until it is ready, prove that it answers, or restore what was before."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr

from stagewright.components.export.targets.triton import triton_version
from stagewright.components.runtime import logs, settings
from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable, StagewrightError
from stagewright.components.runtime.progress import progress
from stagewright.components.serving import client
from stagewright.components.serving.manifests.inference_service import VERSION_ANNOTATION
from stagewright.components.serving.targets.cluster_client import FIELD_MANAGER, Document, InferenceServices, in_cluster
from stagewright.components.serving.targets.readiness import Readiness
from stagewright.components.serving.targets.restoration import restoring
from stagewright.components.serving.targets.rollout import Observation, Rollout
from stagewright.components.serving.variants import TRITON_RUNTIME

POLL_SECONDS = 2.0
# A pod that fails to load is started again: a store that was away for a moment is no reason to roll back.
SETTLE_SECONDS = 20.0
ANSWER_SECONDS, MINIMUM_ANSWER_SECONDS = 2.0, 0.2


class ServingSettings(settings.EnvironmentSettings):
    """How to sign in to a served model behind an authenticating gateway."""

    token: SecretStr | None = Field(None, validation_alias="STAGEWRIGHT_SERVING_TOKEN")
    token_file: Path | None = Field(None, validation_alias="STAGEWRIGHT_SERVING_TOKEN_FILE")

    def headers(self) -> dict[str, str]:
        """The Authorization header, or nothing; a token file is read each time, because clusters renew it."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        except OSError as error:
            raise InputError(f"STAGEWRIGHT_SERVING_TOKEN_FILE {self.token_file} cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, as a parameter, so that waiting is tested without waiting."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def deploy(
    document: Document,
    *,
    baseline: bytes | None,
    timeout: float = 600.0,
    force: bool = False,
    poll: float = POLL_SECONDS,
    settle: float = SETTLE_SECONDS,
    clock: Clock = Clock(),
) -> str:
    """Apply an InferenceService and return the address at which it answers.

    Args:
        document: The InferenceService.
        baseline: The model's `baseline.parquet`; without it only readiness is checked.
        timeout: Seconds until it must be ready and answer.
        force: Take over fields that somebody else manages.
        settle: Seconds that a failure must last before it counts.

    Raises:
        GateFailed: With KServe's own words if it does not become ready or answers wrongly; the version before is restored,
            or, if there was none, the service deleted.
        ServiceUnavailable: If the cluster does not answer or does not allow it.
        InputError: If it refuses the object.
    """
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    headers = settings.load_settings(ServingSettings, "a served model may ask for a token").headers()
    services = InferenceServices.connect(namespace)
    previous = services.get(name)
    rollout = Rollout(services, document)
    rollout.begin()
    deadline = clock.now() + timeout
    applied = services.apply(document, force=force)
    rollout.generation = applied.get("metadata", {}).get("generation", 0)
    logs.event("inference_service_applied", name=name, namespace=namespace, created=previous is None)
    gate = f"the deployment of {name} {document['metadata']['annotations'][VERSION_ANNOTATION]} to namespace '{namespace}'"
    patience = _Patience(gate, deadline, poll, settle, clock)
    try:
        return _wait(rollout, patience, baseline, headers)
    except GateFailed as failed:
        undone = _undo(services, document, previous)
        raise GateFailed(gate, [*failed.failures, undone]) from failed
    except BaseException:
        logs.event("deployment_undone", name=name, outcome=_undo(services, document, previous))
        raise


@dataclass(slots=True)
class _Patience:
    """How long a deployment may take, and how long a failure must last until it counts.

    Attributes:
        deadline: When it must answer.
        failing_since: When the failure began that lasts now; one that passed does not count towards the next.
    """

    gate: str
    deadline: float
    poll: float
    settle: float
    clock: Clock
    failing_since: float | None = None

    def take(self, seen: Observation, unanswered: str) -> None:
        """Wait until the next look.

        Args:
            unanswered: Why the version did not answer although it should be ready.

        Raises:
            GateFailed: If a failure has lasted, or the time is over.
        """
        now = self.clock.now()
        if not seen.failed:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = now
        elif now - self.failing_since >= self.settle:
            raise GateFailed(self.gate, seen.failures)
        if now + self.poll > self.deadline:
            raise GateFailed(self.gate, [unanswered or "it was not ready in time", *seen.failures])
        self.clock.sleep(self.poll)


def _wait(rollout: Rollout, patience: _Patience, baseline: bytes | None, headers: dict[str, str]) -> str:
    """Look at the status and ask, in turns, until the version answers; the address at which it does.

    KServe says ready while it still speaks of the revision before: only an answer of this very version ends the wait, and
    until it comes the status is read on.
    """
    name, said, unanswered = rollout.document["metadata"]["name"], "", ""
    with progress(f"wait for {name}") as advance:
        while True:
            seen = rollout.observe()
            if seen.summary != said:
                said = seen.summary
                logs.event("deployment_waiting", name=name, state=said)
            if seen.ready:
                left = patience.deadline - patience.clock.now()
                try:
                    return _ask(seen.status, rollout.document, patience.gate, baseline, headers, left)
                except (ServiceUnavailable, InputError) as error:
                    unanswered = f"the smoke test had no answer: {error}"
            patience.take(seen, unanswered if seen.ready else "")
            advance(patience.poll)


def _ask(ready: Readiness, document: Document, gate: str, baseline: bytes | None, headers: dict[str, str], left: float) -> str:
    """Ask for this very version: while replicas are replaced, one of the version before may still answer.

    Raises:
        ServiceUnavailable, InputError: If it does not answer.
        GateFailed: If it answers something else than the model.
    """
    endpoint = ready.address if in_cluster() and ready.address else ready.url or ready.address
    if not endpoint:
        raise ServiceUnavailable("it is ready, but its status names no address")
    name = document["metadata"]["name"]
    versioned = f"{name}/versions/{_served_version(document)}"
    seconds = min(ANSWER_SECONDS, max(MINIMUM_ANSWER_SECONDS, left))
    client.wait_until_ready(endpoint, versioned, seconds, headers=headers)
    if baseline is None:
        logs.event("smoke_test_skipped", name=name, reason="the model has no baseline")
        return endpoint
    try:
        test = client.smoke_test(endpoint, versioned, baseline, headers=headers)
    except GateFailed as failed:
        raise GateFailed(gate, failed.failures) from failed
    logs.event("smoke_test_passed", name=name, rows=test.rows, largest_difference=test.largest_difference)
    return endpoint


def _served_version(document: Document) -> str:
    """The version as the server calls it: Triton counts in whole numbers."""
    version = str(document["metadata"]["annotations"][VERSION_ANNOTATION])
    triton = document["spec"]["predictor"]["model"]["runtime"] == TRITON_RUNTIME
    return str(triton_version(version)) if triton else version


def _undo(services: InferenceServices, document: Document, previous: Document | None) -> str:
    """Restore what was before; what came of it, as a clause."""
    name = document["metadata"]["name"]
    try:
        if previous is None:
            services.delete(name)
            return "it was deleted again"
        services.apply(restoring(previous, document, FIELD_MANAGER), force=True)
    except StagewrightError as error:
        return f"and it could not be undone: {error}"
    version = (previous["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "that was there before")
    return f"the version {version} was restored"

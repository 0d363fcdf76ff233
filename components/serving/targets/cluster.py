"""The cluster target: apply the InferenceService, wait until it is ready, run the smoke test, or roll back."""

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
# A pod that fails to load restarts: a short outage of the object store must not cause a rollback.
SETTLE_SECONDS = 20.0
ANSWER_SECONDS, MINIMUM_ANSWER_SECONDS = 2.0, 0.2


class ServingSettings(settings.EnvironmentSettings):
    """Credentials for a served model behind an authenticating gateway."""

    token: SecretStr | None = Field(None, validation_alias="STAGEWRIGHT_SERVING_TOKEN")
    token_file: Path | None = Field(None, validation_alias="STAGEWRIGHT_SERVING_TOKEN_FILE")

    def headers(self) -> dict[str, str]:
        """The Authorization header, or nothing. A token file is read each time, because clusters rotate it.

        Raises:
            InputError: If the token file cannot be read.
        """
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
    """Time as a parameter, so that tests do not wait."""

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
    """Apply an InferenceService and return the address of the model.

    Args:
        document: The InferenceService.
        baseline: The model's `baseline.parquet`; without it only readiness is checked.
        timeout: Seconds until it must be ready and pass the smoke test.
        force: Take over fields that another manager owns.
        settle: Seconds that a failure must last before it counts.

    Raises:
        GateFailed: With KServe's message if it does not become ready, or with the result of the smoke test. The previous
            version is restored; if there was none, the service is deleted.
        ServiceUnavailable: If the cluster does not answer or does not permit it.
        InputError: If it rejects the object.
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
    """Time limits of a deployment.

    Attributes:
        deadline: When it must be ready.
        failing_since: Start of the current failure; an earlier, resolved failure does not count.
    """

    gate: str
    deadline: float
    poll: float
    settle: float
    clock: Clock
    failing_since: float | None = None

    def take(self, seen: Observation, unanswered: str) -> None:
        """Wait until the next check.

        Args:
            unanswered: Why the version did not respond although it should be ready.

        Raises:
            GateFailed: If a failure has lasted too long, or the deadline has passed.
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
    """Poll the status and the model until the version responds; returns its address.

    KServe may report ready for the previous revision. Only a response of this very version ends the wait; until then the status
    is polled.
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
    """Run the smoke test against this very version: during a rollout, a replica of the previous version may still respond.

    Raises:
        ServiceUnavailable, InputError: If it does not respond.
        GateFailed: If its predictions differ from the model's.
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
    """The version as the server reports it: Triton uses integers."""
    version = str(document["metadata"]["annotations"][VERSION_ANNOTATION])
    triton = document["spec"]["predictor"]["model"]["runtime"] == TRITON_RUNTIME
    return str(triton_version(version)) if triton else version


def _undo(services: InferenceServices, document: Document, previous: Document | None) -> str:
    """Roll back to the previous state; returns the result as a clause."""
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

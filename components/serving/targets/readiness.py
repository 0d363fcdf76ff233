"""Parsing of an InferenceService's status: ready, failed, and KServe's messages."""

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

_BLOCKED = {"BlockedByFailedLoad", "InvalidSpec"}
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Readiness:
    """State of an InferenceService at a generation.

    Attributes:
        failed: Whether KServe reports that the model cannot be loaded or the spec is wrong.
        failures: KServe's own messages, one clause each.
        summary: One line for a log.
        url: The external address; `address` is the one inside the cluster.
    """

    ready: bool
    failed: bool
    failures: tuple[str, ...]
    summary: str
    url: str = ""
    address: str = ""


def readiness(service: Document, generation: int) -> Readiness:
    """The state of an object in the cluster.

    Args:
        generation: The generation that was applied; a status of an earlier one is ignored.
    """
    status = service.get("status") or {}
    if (status.get("observedGeneration") or 0) < generation:
        return Readiness(
            False, False, ("KServe has not looked at it yet; is its controller running?",), "not yet seen by KServe"
        )
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    model = status.get("modelStatus") or {}
    transition = model.get("transitionStatus") or "UpToDate"
    ready = conditions.get("Ready", {}).get("status") == "True" and transition not in _BLOCKED
    failures = () if ready else (*_last_failure(model), *_failing(conditions))
    waiting = sorted(name for name, condition in conditions.items() if condition.get("status") != "True")
    return Readiness(
        # During a rollout the old replicas are ready; the model's own status shows when the new version took over.
        ready=ready and transition != "InProgress",
        failed=transition in _BLOCKED,
        failures=failures or _pending(conditions, transition),
        summary=f"{transition}, waiting for {', '.join(waiting) or 'the model'}",
        url=status.get("url") or "",
        address=(status.get("address") or {}).get("url") or "",
    )


def _pending(conditions: dict[str, Document], transition: str) -> tuple[str, ...]:
    """What the deployment waits for if nothing has failed."""
    if not conditions:
        return ("its status has no conditions yet",)
    return ("the replicas of the version before are still being replaced",) if transition == "InProgress" else ()


def _last_failure(model: Document) -> list[str]:
    info = model.get("lastFailureInfo") or {}
    if not info:
        return []
    words = " ".join(str(info.get("message") or "").split())[:_SHOWN]
    code = f" (exit code {info['exitCode']})" if info.get("exitCode") else ""
    return [f"{info.get('reason') or 'failed'}{code}: {words}"]


def _failing(conditions: dict[str, Document]) -> list[str]:
    """Conditions that are not true, those with a message first."""
    clauses = []
    for name, condition in sorted(conditions.items(), key=lambda item: not item[1].get("message")):
        if condition.get("status") == "True":
            continue
        words = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
        clauses.append(f"{name} is {condition.get('status')}" + (f" ({' '.join(words.split())[:_SHOWN]})" if words else ""))
    return clauses

"""Steps of a run, local or on a cluster, and the callback that reports their progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SUCCEEDED, FAILED = "succeeded", "failed"


@dataclass(slots=True)
class Step:
    """One task of a run.

    Attributes:
        seconds: Wall time.
        work_seconds: Time of the stage's own code, without process start.
        error: Error message if the step failed.
        notices: Messages to the user (`logs.notice`).
    """

    name: str
    status: str = "running"
    seconds: float = 0.0
    work_seconds: float | None = None
    error: str | None = None
    exit_code: int = 0
    notices: list[str] = field(default_factory=list)


Watch = Callable[[Step, Mapping[str, Any]], None]

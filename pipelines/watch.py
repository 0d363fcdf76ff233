"""Steps of a run, here or on a cluster, as whoever watches it is told of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SUCCEEDED, FAILED = "succeeded", "failed"


@dataclass(slots=True)
class Step:
    """One task of a run.

    Attributes:
        seconds: Wall time.
        work_seconds: What the stage itself took, without starting it.
        error: The sentence with which it failed.
        notices: What it said to the person who started the run (`logs.notice`).
    """

    name: str
    status: str = "running"
    seconds: float = 0.0
    work_seconds: float | None = None
    error: str | None = None
    exit_code: int = 0
    notices: list[str] = field(default_factory=list)


Watch = Callable[[Step, Mapping[str, Any]], None]

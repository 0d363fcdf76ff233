"""The frame around a component's work: its start, its end, how long it took, and how it fails."""

import atexit
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stagewright.components.runtime import disk_faults, logs
from stagewright.components.runtime.errors import StagewrightError


@contextmanager
def step(name: str) -> Iterator[None]:
    """Log the start and the end of a step; turn an expected error into one sentence and its exit code.

    Raises:
        SystemExit: For a StagewrightError and a fault of the file system, with its exit code, after the sentence was logged.
            Anything else passes through with its traceback: that is a defect of ours.
    """
    logs.configure()
    logs.event("step_started", step=name)
    started = time.perf_counter()

    def seconds() -> float:
        return round(time.perf_counter() - started, 3)

    try:
        yield
    except Exception as error:
        known = error if isinstance(error, StagewrightError) else disk_faults.explained(error)
        if known is not None:
            logs.event(
                "step_failed", level=logging.ERROR, step=name, seconds=seconds(), error=str(known),
                kind=type(known).__name__, exit_code=known.exit_code,
            )  # fmt: skip
            sys.exit(known.exit_code)
        logs.event(
            "step_failed", level=logging.ERROR, step=name, seconds=seconds(), error=f"{type(error).__name__}: {error}",
            kind="defect", exit_code=1,
        )  # fmt: skip
        raise
    logs.event("step_finished", step=name, seconds=seconds())
    if os.environ.get("_KFP_RUNTIME") == "true":
        atexit.register(_leave)


def _leave() -> None:
    """End the process at once. Taking scikit-learn, MLflow and their like apart object by object costs a second a step."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # kfp writes the outputs after the step; if that failed, the interpreter has left its mark here.
    os._exit(1 if hasattr(sys, "last_type") else 0)

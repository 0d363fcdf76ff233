"""The liveness timeout of other processes of this server: workers, and processes of MLflow models.

Such a process sends heartbeats. A process without a heartbeat was stopped or hangs, and is replaced. The timeout is long,
because reading a very large model also blocks a process.
"""

import os

from stagewright.components.runtime.errors import InputError

LIVENESS_TIMEOUT_SECONDS = 30.0
LIVENESS_TIMEOUT = "STAGEWRIGHT_WORKER_SILENCE_SECONDS"


def liveness_timeout() -> float:
    """Longest time without a heartbeat, in seconds.

    Raises:
        InputError: If the environment variable is not a number above 0.
    """
    return limit(LIVENESS_TIMEOUT) or LIVENESS_TIMEOUT_SECONDS


def limit(variable: str) -> float | None:
    """A number above 0 from an environment variable; None if it is not set.

    Raises:
        InputError: If it is not a number above 0.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise InputError(f"environment variable {variable} is '{given}'; expected a number above 0")
    return number

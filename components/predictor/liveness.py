"""How long another process of this server may be silent: a worker of several, or the process of a model.

Such a process says every moment that it lives. One that does not was stopped, or is stuck where no other thread runs, and is
replaced; the limit is generous, for reading a very large model holds a process up too.
"""

import os

from stagewright.components.runtime.errors import InputError

LIVENESS_TIMEOUT_SECONDS = 30.0
LIVENESS_TIMEOUT = "STAGEWRIGHT_WORKER_SILENCE_SECONDS"


def liveness_timeout() -> float:
    """Longest time without a sign of life, in seconds.

    Raises:
        InputError: If the environment says something else than a number above 0.
    """
    return limit(LIVENESS_TIMEOUT) or LIVENESS_TIMEOUT_SECONDS


def limit(variable: str) -> float | None:
    """A number above 0 from the environment; None where it says nothing.

    Raises:
        InputError: If it says something else.
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

"""Errors that a user can act on: one sentence that says what is wrong, where, and what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

LONGEST = 4000  # characters of a sentence: whatever a file or a request brings, nobody is told a megabyte
LONGEST_VALUE = 400


class StagewrightError(Exception):
    """Anything that stops a step and needs no traceback to be understood.

    Args:
        sentence: What is wrong; its middle is left out if it is very long.
    """

    exit_code = 1

    def __init__(self, sentence: str = "") -> None:
        super().__init__(shortened(sentence, LONGEST))


class InputError(StagewrightError):
    """The caller gave something unusable: a parameter, a file, a table, a model."""

    exit_code = 2


class BadParameter(InputError):
    """A parameter has a value that it cannot have."""

    def __init__(self, name: str, *, got: Any, expected: str) -> None:
        super().__init__(f"parameter '{name}' is {shortened(repr(got), LONGEST_VALUE)}; expected {expected}")
        self.name, self.got, self.expected = name, got, expected


class MissingSetting(InputError):
    """An environment variable that this step needs is not set."""

    def __init__(self, names: Sequence[str], purpose: str) -> None:
        super().__init__(f"{' and '.join(names)} not set; {purpose}")
        self.names = tuple(names)


class GateFailed(StagewrightError):
    """A quality gate said no. The failures are data; the text is a bounded rendering of them.

    Args:
        gate: What was checked, as the subject of the sentence: "data", "model 'churn'".
        failures: One short clause for each check that failed.
    """

    SHOWN = 10

    def __init__(self, gate: str, failures: Sequence[str]) -> None:
        self.gate, self.failures = gate, tuple(failures)
        shown = "; ".join(self.failures[: self.SHOWN])
        rest = len(self.failures) - self.SHOWN
        super().__init__(f"{gate} did not pass: {shown}" + (f"; and {rest} more" if rest > 0 else ""))


class ServiceUnavailable(StagewrightError):
    """A service that this step needs does not answer, or refuses."""


def shortened(text: str, most: int) -> str:
    """A text of so many characters at most: what is too long loses its middle.

    >>> shortened("abcdefghijklmnopqrstuvwxyz", 12)
    'abcd ... xyz'
    """
    if len(text) <= most:
        return text
    kept = most - len(" ... ")
    return f"{text[: kept - kept // 2]} ... {text[len(text) - kept // 2 :]}"


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """`value` if it is allowed; otherwise a BadParameter that names the choices and the nearest one.

    >>> one_of("split", "time", ("random", "time"))
    'time'
    """
    choices = tuple(allowed)
    if value in choices:
        return value
    raise BadParameter(name, got=value, expected=f"one of {', '.join(choices)}{did_you_mean(value, choices)}")


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """A suffix that names the closest choice, or nothing when none is close."""
    near = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""

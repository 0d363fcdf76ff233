"""The class that a binary model is about, and the probability from which it answers it.

It is the second of the model's two classes: its probability is the second column, precision, recall, F1 and PR AUC are its own.
By default that is the later one in sorted order: of no and yes, yes; of 0 and 1, 1; of false and true, true.
"""

from collections.abc import Sequence
from typing import TypeVar

from stagewright.components.runtime.errors import BadParameter, did_you_mean

THRESHOLD = 0.5
SHOWN = 10

L = TypeVar("L", bound=str | int | bool)


def check_positive(threshold: float, positive_class: str = "", *, binary: bool = True, task: str = "") -> None:
    """Refuse what cannot be, whatever the classes are.

    Args:
        binary: Whether there are two classes, of which one could be positive.
        task: What is predicted otherwise.

    Raises:
        BadParameter: For a threshold that is not between 0 and 1, or either parameter where there are not two classes.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise BadParameter("threshold", got=threshold, expected="a number above 0 and below 1")
    if binary:
        return
    if positive_class:
        raise BadParameter("positive_class", got=positive_class, expected=f"none, because the task is {task}")
    if threshold != THRESHOLD:
        raise BadParameter("threshold", got=threshold, expected=f"{THRESHOLD}, because the task is {task}")


def positive_last(classes: Sequence[L], positive_class: str) -> tuple[L, ...]:
    """Two classes with the positive one second; as they are where none is named.

    >>> positive_last(("No", "Yes"), "No"), positive_last((0, 1), ""), positive_last((False, True), "false")
    (('Yes', 'No'), (0, 1), (True, False))

    Raises:
        BadParameter: For a class that is not one of them.
    """
    if not positive_class:
        return tuple(classes)
    found = [label for label in classes if class_name(label) == positive_class or _is_bool(label, positive_class)]
    if not found:
        names = [class_name(label) for label in classes]
        raise BadParameter(
            "positive_class",
            got=positive_class,
            expected=f"one of {', '.join(names[:SHOWN])}{did_you_mean(positive_class, names)}",
        )
    return (*(label for label in classes if label != found[0]), found[0])


def class_name(label: object) -> str:
    """How a class is written: a whole number without a point, a boolean as true or false."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _is_bool(label: object, wanted: str) -> bool:
    return isinstance(label, bool) and str(label).lower() == wanted.lower()

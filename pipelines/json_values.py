"""Check that values reach a step unchanged, locally and on a cluster: JSON as protobuf's `Struct` holds it."""

import math
from typing import Any

from stagewright.components.runtime.errors import BadParameter, InputError

LARGEST_WHOLE = 2**53  # numbers travel as 64-bit floats
DEEPEST = 32


def check_json(name: str, value: Any, *, level: int = 0) -> None:
    """Check that a parameter's value, nested values included, arrives unchanged. `null` is allowed.

    Args:
        name: Name of the parameter; nested values are named with a dot, list entries by index.

    Raises:
        BadParameter: For a number that is not finite or too large to be exact, a key that is not a string, or a value that
            is not JSON.
        InputError: For text that is not valid Unicode, or values nested too deep.
    """
    if level > DEEPEST:
        raise InputError(f"parameter '{name.partition('.')[0]}' is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise BadParameter(f"{name}.{key}", got=entry, expected=f"a string key: put {key!r} in quotes")
            _check_text(name, key)
            check_json(f"{name}.{key}", entry, level=level + 1)
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            check_json(f"{name}.{number}", entry, level=level + 1)
    elif isinstance(value, str):
        _check_text(name, value)
    elif isinstance(value, int | float):
        _check_number(name, value)
    elif value is not None:
        raise BadParameter(name, got=value, expected="a JSON value; put dates in quotes")


def _check_number(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise BadParameter(name, got=value, expected="a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        expected = f"a number from -{LARGEST_WHOLE} to {LARGEST_WHOLE}, or text in quotes to keep it exact"
        raise BadParameter(name, got=value, expected=expected)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"parameter '{name}' is not valid Unicode: character {error.start + 1} is an unpaired surrogate, or a byte that is "
            "not UTF-8"
        ) from None

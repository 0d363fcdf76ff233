"""Protocol buffers as text, as far as a configuration needs it: messages, lists, strings, numbers, enumerators."""

from collections.abc import Mapping, Sequence
from typing import Any

_INDENT = "  "


class Enumerator(str):
    """A name that stands without quotes."""

    __slots__ = ()


def text(message: Mapping[str, Any], depth: int = 0) -> str:
    """A message's fields, one a line; what is None or an empty message is left out.

    >>> print(text({"name": "a", "dims": [1, 2], "kind": Enumerator("KIND_CPU"), "inner": {"on": True}}), end="")
    name: "a"
    dims: [1, 2]
    kind: KIND_CPU
    inner {
      on: true
    }
    """
    return "".join(_field(name, value, depth) for name, value in message.items() if value is not None)


def _field(name: str, value: Any, depth: int) -> str:
    margin = _INDENT * depth
    if isinstance(value, Mapping):
        return f"{margin}{name} {{\n{text(value, depth + 1)}{margin}}}\n"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return "".join(_field(name, entry, depth) for entry in value)
        return f"{margin}{name}: [{', '.join(_scalar(entry) for entry in value)}]\n"
    return f"{margin}{name}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enumerator):
        return str(value)
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(value: str) -> str:
    """A string whose bytes outside of printable ASCII are octal escapes, as every parser reads them."""
    escaped = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n"}
    made = (escaped.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in value.encode())
    return f'"{"".join(made)}"'

"""YAML and JSON that somebody else wrote, read within bounds.

A few hundred bytes of YAML can stand for gigabytes: an alias repeats what its anchor holds, and aliases nest. What a document
would hold when it is written out is counted before any of it is built.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MOST_CHARACTERS = 16 * 2**20  # of a text, and of all that its aliases stand for
MOST_VALUES = 500_000
DEEPEST = 100
LARGEST_JSON = 64 * 2**20  # bytes


class Unreadable(ValueError):
    """A document that is too large, nested too deep, or malformed."""


def read_json(text: str | bytes, *, most: int = LARGEST_JSON) -> Any:
    """What a JSON text holds.

    Args:
        most: Characters or bytes that it may have.

    Raises:
        Unreadable: If it is no JSON, too long, or nested too deep.
    """
    if len(text) > most:
        raise Unreadable(f"it has {len(text)} characters; at most {most} are read")
    try:
        return json.loads(text)
    except RecursionError:
        raise Unreadable("its lists and objects are nested too deep") from None
    except ValueError as error:
        raise Unreadable(str(error)[:200]) from None


def read_yaml(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        Unreadable: If it is no YAML, too long, nested too deep, or its aliases stand for too much.
    """
    import yaml

    return _read(text, lambda loader: yaml.load(text, loader))  # noqa: S506 - a safe loader


def read_all_yaml(text: str) -> list[Any]:
    """What every document of a YAML text holds.

    Raises:
        Unreadable: As `read_yaml`.
    """
    import yaml

    found: list[Any] = _read(text, lambda loader: list(yaml.load_all(text, loader)))
    return found


def _read(text: str, load: Any) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"it has {len(text)} characters; at most {MOST_CHARACTERS} are read")
    try:
        _check(yaml.parse(text, loader))
        return load(loader)
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Unreadable(f"it is not YAML: {str(error.problem or error.context)[:200]}{place}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"it is not YAML: {(str(error).splitlines() or [type(error).__name__])[0][:200]}") from None


class _Size:
    """What a value holds when its aliases are written out."""

    __slots__ = ("anchor", "characters", "values")

    def __init__(self, anchor: str | None, characters: int = 0) -> None:
        self.anchor, self.characters, self.values = anchor, characters, 1


def _check(events: "Iterable[yaml.Event]") -> None:
    import yaml

    known: dict[str, _Size] = {}
    open_: list[_Size] = [_Size(None)]
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append(_Size(event.anchor))
            if len(open_) > DEEPEST:
                raise Unreadable(f"its lists and mappings are nested more than {DEEPEST} deep")
            continue
        if isinstance(event, yaml.ScalarEvent):
            found = _Size(event.anchor, len(event.value))
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise Unreadable(f"its alias '*{str(event.anchor)[:40]}' stands for nothing that is complete")
            found = known[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            found = open_.pop()
        else:
            continue
        if not isinstance(event, yaml.AliasEvent) and found.anchor:
            known[found.anchor] = found
        _add(open_[-1], found)


def _add(outer: _Size, inner: _Size) -> None:
    outer.characters += inner.characters
    outer.values += inner.values
    if outer.characters > MOST_CHARACTERS or outer.values > MOST_VALUES:
        raise Unreadable(f"it stands for more than {MOST_VALUES} values or {MOST_CHARACTERS} characters")


def overlaid(base: Any, over: Any) -> Any:
    """`over` laid on `base`: mappings are merged key by key, every other value is replaced. Neither is changed.

    >>> overlaid({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2]}, "d": {"e": None}})
    {'a': {'b': 1, 'c': [2]}, 'd': {'e': None}}
    """
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: overlaid(base.get(key), value) for key, value in over.items()}

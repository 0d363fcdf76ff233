"""Hyperparameters: a JSON object, checked against a method's table of parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Parameter:
    """One hyperparameter: its default and its allowed values.

    Attributes:
        default: Value if none is given; None means "no limit" if `optional`.
        type: int, float, bool, str, or list for a list of positive whole numbers.
        minimum: Lowest allowed value; `above` excludes it.
        optional: Whether null is allowed.
    """

    default: Any
    type: type
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    above: bool = False
    optional: bool = False

    def check(self, name: str, value: Any) -> Any:
        """The value, converted to the parameter's type.

        Raises:
            BadParameter: If the value is not allowed.
        """
        if value is None and self.optional:
            return None
        if self.type is list:
            usable = isinstance(value, list) and bool(value) and all(_is_whole(entry) and entry > 0 for entry in value)
        elif self.type is int:
            usable = _is_whole(value) and self._is_in_range(value)
        elif self.type is float:
            usable = isinstance(value, int | float) and not isinstance(value, bool) and self._is_in_range(value)
        else:
            usable = isinstance(value, self.type) and (not self.choices or value in self.choices)
        if not usable:
            raise BadParameter(f"params.{name}", got=value, expected=self.expected)
        return [int(entry) for entry in value] if self.type is list else self.type(value)

    @property
    def expected(self) -> str:
        """The allowed values, as the end of a sentence."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(self.type)
        if kind is None:
            return "a list of whole numbers above 0"
        low = "" if self.minimum is None else f" {'above' if self.above else 'of at least'} {self.minimum:g}"
        high = "" if self.maximum is None else f"{' and' if low else ' of'} at most {self.maximum:.10g}"
        return f"{kind}{low}{high}{' or null' if self.optional else ''}"

    def _is_in_range(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.minimum is not None and (value < self.minimum or (self.above and value == self.minimum)):
            return False
        return self.maximum is None or value <= self.maximum


def resolve(method: str, given: Mapping[str, Any], table: Mapping[str, Parameter]) -> dict[str, Any]:
    """All parameters of a method with the values to use.

    Args:
        method: Name of the method, for messages.
        given: Values by name, as the user gave them.

    Raises:
        InputError: For an unknown name, suggesting the most similar one.
        BadParameter: For a value that is not allowed.
    """
    for name in given:
        if name not in table:
            near = did_you_mean(name, table)
            raise InputError(f"{method} has no parameter '{name}'{near}; it takes {', '.join(sorted(table))}")
    return {name: entry.check(name, given[name]) if name in given else entry.default for name, entry in table.items()}


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))

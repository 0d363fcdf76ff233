"""Parameters of pipelines and components: types, choices, and parsing of command-line values."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.runtime.documents import Unreadable, read_yaml
from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean
from stagewright.pipelines.json_values import check_json

_CHOICES = re.compile(r"\bOne of ([\w./-]+(?:, [\w./-]+)+)(?=[.;,\s]|$)")
_TYPES = {
    "STRING": "str", "NUMBER_INTEGER": "int", "NUMBER_DOUBLE": "float", "BOOLEAN": "bool", "STRUCT": "dict", "LIST": "list",
}  # fmt: skip
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_FILE_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input or output value of a pipeline or component.

    Attributes:
        name: As in the signature.
        type: str, int, float, bool, dict or list.
        required: Whether it has no default.
        default: None if it is required.
        description: From the docstring; it may be empty.
        choices: Allowed values of a str, written in the description as "One of a, b, c."; empty if any value is allowed.
    """

    name: str
    type: str
    required: bool = True
    default: Any = None
    description: str = ""
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The command-line option."""
        return "--" + self.name.replace("_", "-")


def choices_in(description: str) -> tuple[str, ...]:
    """Parse the allowed values from a description: the list after "One of".

    >>> choices_in("Library to train with. One of sklearn, xgboost.")
    ('sklearn', 'xgboost')
    """
    found = _CHOICES.search(description)
    return tuple(choice.rstrip(".") for choice in found[1].split(", ")) if found else ()


def from_spec(name: str, field: Mapping[str, Any], description: str = "") -> Parameter:
    """Make a parameter from its definition in a compiled pipeline; `description` is the fallback if the spec has none."""
    kind = _TYPES.get(field["parameterType"], field["parameterType"].lower())
    description = " ".join(field.get("description", description).split())
    default = field.get("defaultValue")
    return Parameter(
        name=name,
        type=kind,
        required=not field.get("isOptional", False),
        default=int(default) if kind == "int" and default is not None else default,
        description=description,
        choices=choices_in(description) if kind == "str" else (),
    )


def parse_value(parameter: Parameter, text: str) -> Any:
    """Parse a parameter's value from command-line text.

    A dict or list is JSON, or the path of a JSON or YAML file that holds it.

    Raises:
        BadParameter: If the text is not of the parameter's type, or not one of its choices.
        InputError: If the text is the path of a file that cannot be read.
    """
    match parameter.type:
        case "str":
            return _choice(parameter, text)
        case "int":
            return _number(parameter, text, int, "a whole number")
        case "float":
            return _number(parameter, text, float, "a number")
        case "bool":
            return _boolean(parameter, text)
        case "dict":
            return _structure(parameter, text, dict, "a JSON object")
        case "list":
            return _structure(parameter, text, list, "a JSON list")
    raise BadParameter(parameter.name, got=text, expected=f"no value: type {parameter.type} cannot be set on the command line")


def format_value(value: Any) -> str:
    """Format a value so that `parse_value` can read it."""
    return value if isinstance(value, str) else json.dumps(value)


def check_arguments(parameters: Iterable[Parameter], arguments: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Check a run's arguments: names, required parameters, types and choices.

    Args:
        parameters: The accepted parameters.
        arguments: Parsed values by name.
        of: Owner of the parameters, for error messages: "pipeline 'train-model'".

    Raises:
        InputError: For an unknown parameter, or a required one without a value.
        BadParameter: For a value of the wrong type or outside the choices.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in arguments:
        if name not in known:
            raise InputError(f"{of} has no parameter '{name}'{did_you_mean(name, known)}; it has {', '.join(known)}")
    missing = [parameter.option for parameter in known.values() if parameter.required and parameter.name not in arguments]
    if missing:
        raise InputError(f"{of} needs {' and '.join(missing)}")
    return {name: check_value(known[name], value) for name, value in arguments.items()}


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "dict": (dict,), "list": (list, tuple),
}  # fmt: skip


def check_value(parameter: Parameter, value: Any) -> Any:
    """Check that a value has the parameter's type, is one of its choices, and reaches a step unchanged.

    Raises:
        BadParameter: If a check fails.
        InputError: For text that is not valid Unicode.
    """
    accepted = _PYTHON_TYPES.get(parameter.type, (object,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        raise BadParameter(parameter.name, got=value, expected=f"a value of type {parameter.type}")
    check_json(parameter.name, value)
    return _choice(parameter, value) if isinstance(value, str) else value


def _choice(parameter: Parameter, text: str) -> str:
    if parameter.choices and text not in parameter.choices:
        expected = f"one of {', '.join(parameter.choices)}{did_you_mean(text, parameter.choices)}"
        raise BadParameter(parameter.name, got=text, expected=expected)
    return text


def _number(parameter: Parameter, text: str, kind: type[int] | type[float], expected: str) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        raise BadParameter(parameter.name, got=text, expected=expected) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadParameter(parameter.name, got=text, expected=f"{expected} that is finite")
    return value


def _boolean(parameter: Parameter, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise BadParameter(parameter.name, got=text, expected="true or false")


def _structure(parameter: Parameter, text: str, kind: type, expected: str) -> Any:
    path = Path(text.removeprefix("@"))
    written_out = not text.startswith("@") and not text.endswith(_FILE_SUFFIXES)
    value = _from_json(parameter, text, expected) if written_out else _from_file(parameter, path)
    if not isinstance(value, kind):
        raise BadParameter(parameter.name, got=value, expected=expected)
    return value


def _from_json(parameter: Parameter, text: str, expected: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadParameter(parameter.name, got=text, expected=f"{expected} with fewer nested levels") from None
    except ValueError as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        wanted = f"{expected}, or the path of a .json or .yaml file that holds one ({reason})"
        raise BadParameter(parameter.name, got=text, expected=wanted) from None


def _from_file(parameter: Parameter, path: Path) -> Any:
    try:
        return read_yaml(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except FileNotFoundError:
        raise InputError(f"parameter '{parameter.name}' names the file {path}, which does not exist") from None
    except Unreadable as error:
        raise InputError(
            f"parameter '{parameter.name}' names the file {path}, which is not valid YAML or JSON: {error}"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"parameter '{parameter.name}' names the file {path}, which cannot be read: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")

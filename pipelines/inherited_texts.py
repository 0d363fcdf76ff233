"""Parameter descriptions of pipelines, taken from the components that the parameters are passed to."""

import inspect
from collections.abc import Callable
from typing import Any

import docstring_parser

from stagewright.components.authoring import Component

Function = Callable[..., Any]
_INDENT = "    "


def described_by(*components: Component) -> Callable[[Function], Function]:
    """Fill in the parameter descriptions that a pipeline's docstring leaves out.

    A parameter takes the description of the first component that has a parameter of its name. A description in the pipeline's
    own docstring comes first: for a parameter that means something else there, or that accepts fewer choices.

    Args:
        components: Components that the pipeline passes its parameters to, in order of precedence.

    Raises:
        ValueError: If a parameter has no description anywhere, or the docstring has no section "Args:".
    """
    known: dict[str, str] = {}
    for component in components:
        known = _descriptions(component.python_func) | known

    def fill_in(function: Function) -> Function:
        own = _descriptions(function)
        missing = [name for name in inspect.signature(function).parameters if name not in own]
        undescribed = [name for name in missing if name not in known]
        if undescribed:
            raise ValueError(f"pipeline {function.__name__}: no component describes parameter '{undescribed[0]}'")
        text = inspect.cleandoc(function.__doc__ or "")
        before, section, after = text.partition("Args:\n")
        if not section:
            raise ValueError(f"pipeline {function.__name__}: the docstring has no section 'Args:'")
        added = "".join(f"{_INDENT}{name}: {known[name]}\n" for name in missing)
        function.__doc__ = f"{before}{section}{added}{after}"
        return function

    return fill_in


def _descriptions(function: Function) -> dict[str, str]:
    parsed = docstring_parser.parse(function.__doc__ or "")
    return {entry.arg_name: " ".join(entry.description.split()) for entry in parsed.params if entry.description}

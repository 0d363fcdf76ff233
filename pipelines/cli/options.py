"""Commands whose options are a pipeline's parameters, built on first use."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stagewright.pipelines import catalog
from stagewright.pipelines.parameters import Parameter, format_value, parse_value

Action = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]
OwnOptions = Mapping[str, tuple[Any, Any]]


def pipeline_group(action: Action, own: OwnOptions) -> type[TyperGroup]:
    """Command group with one command per pipeline, built on first use because describing a pipeline imports kfp.

    Args:
        action: Called with the pipeline's name, its arguments, and the command's own options.
        own: The command's own options: name -> (annotation, default).
    """

    class PipelineGroup(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(catalog.PIPELINES)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            name = cmd_name.replace("_", "-")
            catalog.pipeline(name)
            return _command(name, action, own)

    return PipelineGroup


def _command(name: str, action: Action, own: OwnOptions) -> Any:
    from stagewright.pipelines.description import describe  # imports kfp, which `stagewright --help` does not need

    described = describe(name)
    parameters = {parameter.name: parameter for parameter in described.inputs}

    def call(**given: Any) -> None:
        mine = {option: given.pop(option) for option in own}
        arguments = {
            key: value if isinstance(value, bool) else parse_value(parameters[key], value)
            for key, value in given.items()
            if value is not None
        }
        action(name, arguments, mine)

    options = [_option(parameter) for parameter in parameters.values()]
    options += [_keyword(key, annotation, default) for key, (annotation, default) in own.items()]
    call.__signature__ = inspect.Signature(sorted(options, key=lambda o: o.default is not inspect.Parameter.empty))  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command(name, help=described.summary)(call)
    return typer.main.get_command(app)


def _option(parameter: Parameter) -> inspect.Parameter:
    flag = "--" + parameter.name.replace("_", "-")
    if parameter.type == "bool":
        shown = typer.Option(f"{flag}/--no-{flag[2:]}", help=parameter.description, show_default=_shown(parameter))
        return _keyword(parameter.name, Annotated[bool | None, shown], None)
    shown = typer.Option(flag, help=parameter.description, metavar=parameter.type.upper(), show_default=_shown(parameter))
    if parameter.required:
        return _keyword(parameter.name, Annotated[str, shown], inspect.Parameter.empty)
    return _keyword(parameter.name, Annotated[str | None, shown], None)


def _shown(parameter: Parameter) -> str | bool:
    return format_value(parameter.default) if parameter.default not in ("", None, {}, []) else False


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)

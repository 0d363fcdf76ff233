"""What can be refused before anything runs: a mistake found here costs a second, by the last step it costs the training."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.naming import model_name
from stagewright.pipelines import describe


def check(pipeline: str, arguments: Mapping[str, Any]) -> None:
    """Check a pipeline's arguments by what is known without data or services.

    Raises:
        InputError: For the first argument that the pipeline would refuse, in one sentence.
    """
    describe.check_arguments(describe.parameters(pipeline), arguments, of=f"pipeline '{pipeline}'")
    for name, examine in _CHECKS.items():
        if name in arguments:
            examine(arguments)


def _name(arguments: Mapping[str, Any]) -> None:
    model_name(arguments["name"])


def _gitops(arguments: Mapping[str, Any]) -> None:
    if arguments["deploy_to"] == "gitops" and not Path(arguments.get("gitops") or "").is_dir():
        raise BadParameter("gitops", got=arguments.get("gitops", ""), expected="an existing folder for deploy_to=gitops")


def _split(arguments: Mapping[str, Any]) -> None:
    for method in ("time", "group"):
        if arguments["split"] == method and not arguments.get(f"{method}_column"):
            raise InputError(f"split={method} needs --{method}-column: the column to split by")


_CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {"name": _name, "deploy_to": _gitops, "split": _split}

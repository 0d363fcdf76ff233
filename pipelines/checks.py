"""Checks before a run starts: a mistake found here costs a second, in the last step it costs the training."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagewright.components.ingestion.fractions import checked_fractions
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.frameworks import FRAMEWORKS
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.service_names import check_service
from stagewright.pipelines import description
from stagewright.pipelines.bounds import check_bounds
from stagewright.pipelines.parameters import check_arguments


def check(pipeline: str, arguments: Mapping[str, Any], *, remote: bool = False) -> None:
    """Check a pipeline's arguments without data or services.

    Args:
        pipeline: Name of the pipeline.
        arguments: Values by parameter.
        remote: Whether the run is on a cluster, which has no access to this machine's files and processes.

    Raises:
        InputError: For the first invalid argument.
    """
    check_arguments(description.parameters(pipeline), arguments, of=f"pipeline '{pipeline}'")
    if "name" in arguments:
        model_name(arguments["name"])
        _check_service(arguments, "cluster" if remote else "local")
    check_bounds(pipeline, arguments)
    _check_split(arguments)
    for name, check_value in _BY_LOGIC.items():
        if arguments.get(name):
            with suppress(ModuleNotFoundError):  # only the core is installed; the step checks it
                check_value(arguments)
    _check_remote(arguments) if remote else _check_local(arguments)


def _check_service(arguments: Mapping[str, Any], by_default: str) -> None:
    """Check that the name is valid for a KServe service."""
    if arguments.get("deploy_to", by_default) in ("cluster", "gitops"):
        check_service(arguments["name"], arguments.get("namespace", ""), arguments.get("mode", "Standard"))


def _check_split(arguments: Mapping[str, Any]) -> None:
    if "fractions" in arguments:
        checked_fractions(arguments["fractions"])
    for method in ("time", "group"):
        if arguments.get("split") == method and not arguments.get(f"{method}_column"):
            raise InputError(f"split={method} needs --{method}-column: the column to split by")


def _check_params(arguments: Mapping[str, Any]) -> None:
    if "teacher" not in arguments:  # a student's parameters are checked against the teacher
        FRAMEWORKS[arguments.get("framework", "xgboost")].load().plan(arguments["params"])


def _check_features(arguments: Mapping[str, Any]) -> None:
    from stagewright.components.features.specification import check_specification

    check_specification(arguments["features"])


def _check_minimum(arguments: Mapping[str, Any]) -> None:
    from stagewright.components.evaluation.gate import parse_minimum
    from stagewright.components.runtime.schema import Task

    known = arguments.get("task", "auto")
    refused = []
    for task in Task if known == "auto" else [Task(known)]:
        try:
            parse_minimum(arguments["minimum"], task)
        except BadParameter as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def _check_suite(arguments: Mapping[str, Any]) -> None:
    from stagewright.components.ingestion.suites import check_suite

    check_suite(arguments["suite"])


def _check_schema(arguments: Mapping[str, Any]) -> None:
    from stagewright.components.ingestion.expected import check_document

    check_document(arguments["schema"])


# Checks of the steps' own logic. Importing it takes a second, so only the arguments that were given are checked.
_BY_LOGIC: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "params": _check_params,
    "features": _check_features,
    "minimum": _check_minimum,
    "suite": _check_suite,
    "schema": _check_schema,
}


def _check_local(arguments: Mapping[str, Any]) -> None:
    if arguments.get("deploy_to") == "gitops" and not Path(arguments.get("gitops") or "").is_dir():
        raise BadParameter("gitops", got=arguments.get("gitops", ""), expected="an existing folder for deploy_to=gitops")


def _check_remote(arguments: Mapping[str, Any]) -> None:
    if arguments.get("deploy_to") == "local":
        raise BadParameter("deploy_to", got="local", expected="cluster, gitops or none for a run on a cluster")
    if arguments.get("deploy_to") == "gitops" and not arguments.get("gitops"):
        raise BadParameter("gitops", got="", expected="a folder that the steps can read, for deploy_to=gitops")
    for name in ("data", "model", "teacher"):
        place = arguments.get(name)
        if isinstance(place, str) and ":/" not in place:
            raise InputError(
                f"parameter '{name}' is {place}, a local path; the cluster needs an address such as s3://data/{Path(place).name}"
            )

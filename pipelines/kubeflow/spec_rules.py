"""Rules for compiled pipelines, so that they run the same locally, in containers and on a cluster.

KFP compiles more than every runner supports; what these rules reject would fail later or be skipped silently.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kfp import dsl

from stagewright.components.runtime.errors import GateFailed

SIZE_BUDGET = 1_000_000  # bytes; the API server's limit for an object is 1.5 MB, and a run's object contains the spec and more

UNSUPPORTED_PLACEHOLDERS = (
    dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
    dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
    dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
)

Tree = Mapping[str, Any]

_QUOTED = re.compile(r"'[^'\"\\]*'")
_CONDITION_INPUT = re.compile(r"inputs\.parameter_values\['([^']+)'\]")


class SpecRefused(GateFailed):
    """A compiled pipeline breaks rules; each failure names the place."""

    exit_code = 2


def check_spec(spec: Tree, platform: Tree | None = None) -> None:
    """Reject a compiled pipeline that would not run everywhere.

    Args:
        spec: The pipeline spec as JSON.
        platform: The platform spec, if there is one.

    Raises:
        SpecRefused: For broken rules; the message names each rule and place.
    """
    failures = list(failures_of(spec, platform or {}))
    if failures:
        raise SpecRefused(f"pipeline '{spec['pipelineInfo']['name']}'", failures)


def failures_of(spec: Tree, platform: Tree) -> Iterator[str]:
    """Describe each broken rule in one clause."""
    yield from _size(spec, platform)
    yield from _executors(spec)
    for name, dag in _dags(spec):
        yield from _dag(name, dag, spec)
    yield from _placeholders(spec)


def _size(spec: Tree, platform: Tree) -> Iterator[str]:
    size = len(json.dumps(spec)) + len(json.dumps(platform))
    if size > SIZE_BUDGET:
        yield f"the spec has {size:,} bytes, more than {SIZE_BUDGET:,}: pass large values as artifacts"


def _executors(spec: Tree) -> Iterator[str]:
    for label, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        name = label.removeprefix("exec-")
        if "importer" in executor:
            continue
        container = executor.get("container")
        if container is None:
            yield f"{name} is neither a container nor an importer"
            continue
        if "--function_to_execute" not in container.get("args", []):
            yield f"{name} is not a Python component; only Python components run without containers"
        if any("pip install" in part for part in container.get("command", [])):
            yield f"{name} installs packages at run time: add them to its image"
        tag = container["image"].rpartition("/")[2].rpartition(":")[2] if ":" in container["image"].rpartition("/")[2] else ""
        if tag in ("", "latest") and "@sha256:" not in container["image"]:
            yield f"{name} runs in image '{container['image']}', whose content may change: give it a tag"


def _dags(spec: Tree) -> Iterator[tuple[str, Tree]]:
    yield "the pipeline", spec["root"].get("dag", {})
    for label, component in spec.get("components", {}).items():
        if "dag" in component:
            yield label.removeprefix("comp-"), component["dag"]


def _dag(name: str, dag: Tree, spec: Tree) -> Iterator[str]:
    for output, selectors in dag.get("outputs", {}).get("artifacts", {}).items():
        if len(selectors.get("artifactSelectors", [])) > 1:
            yield f"artifact '{output}' of {name} comes from one of several branches: merge the branches inside a component"
    tasks = dag.get("tasks", {})
    conditional = {key for key, task in tasks.items() if task.get("triggerPolicy", {}).get("condition")}
    for key, task in tasks.items():
        for before in sorted(conditional.intersection(task.get("dependentTasks", []))):
            if before not in _producers(task):
                yield f"{key} waits for {before}, which may be skipped: on a cluster, {key} would then be skipped too"
        if key in conditional:
            yield from _condition(key, task, spec)


def _condition(key: str, task: Tree, spec: Tree) -> Iterator[str]:
    """Check a condition: runners compare a task's string output differently, so only parameters may be compared as strings."""
    definitions = spec["components"][task["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {}).get("parameters", {})
    for name in _CONDITION_INPUT.findall(task["triggerPolicy"]["condition"]):
        is_text = definitions.get(name, {}).get("parameterType") == "STRING"
        if is_text and "taskOutputParameter" in given.get(name, {}):
            yield f"{key} depends on a task's string output: compare numbers or booleans"
    if set("'\"") & set(_QUOTED.sub("", _CONDITION_INPUT.sub("", task["triggerPolicy"]["condition"]))):
        yield f"{key} compares with a string that contains a quote, which is always false in a local run"


def _producers(task: Tree) -> set[str]:
    inputs = task.get("inputs", {})
    parameters = (value.get("taskOutputParameter") for value in inputs.get("parameters", {}).values())
    artifacts = (value.get("taskOutputArtifact") for value in inputs.get("artifacts", {}).values())
    return {source["producerTask"] for source in (*parameters, *artifacts) if source}


def _placeholders(spec: Tree) -> Iterator[str]:
    text = json.dumps(spec)
    for placeholder in UNSUPPORTED_PLACEHOLDERS:
        if placeholder in text:
            yield f"placeholder {placeholder} is not supported in a local run: pass a run id or a date as a parameter"

"""Describe a pipeline or component from its compiled spec: inputs, outputs, images, caching, and steps in order."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docstring_parser
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.graph_component import GraphComponent

from stagewright.components.authoring import Component
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.pipelines import catalog
from stagewright.pipelines.parameters import Parameter, from_spec
from stagewright.pipelines.pipeline_spec import spec_of

Tree = Mapping[str, Any]

_CHANNEL = re.compile(r"inputs\.parameter_values\['pipelinechannel--([^']+)'\]")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An input or output file or folder of a component."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A task of a pipeline.

    Attributes:
        name: Unique in the pipeline.
        component: Name of the component.
        after: Names of the steps that must end first, with or without passing data.
        condition: Condition on parameters under which the step runs; empty if it always runs.
    """

    name: str
    component: str
    image: str
    cacheable: bool
    after: tuple[str, ...]
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """Description of a pipeline or component.

    Attributes:
        kind: "pipeline" or "component".
        summary: The first sentence of its docstring.
        details: The rest of its docstring's text.
        images: Image groups of the steps.
        cacheable: Whether equal inputs may reuse an earlier result; None for a pipeline, because each step declares it.
        steps: Steps in a valid execution order; empty for a component.
    """

    name: str
    kind: str
    summary: str
    details: str
    inputs: tuple[Parameter, ...]
    input_artifacts: tuple[Artifact, ...]
    outputs: tuple[Parameter, ...]
    output_artifacts: tuple[Artifact, ...]
    images: tuple[str, ...]
    cacheable: bool | None = None
    steps: tuple[Step, ...] = ()


def describe(name: str | GraphComponent | Component) -> Description:
    """Describe a pipeline or component, given as a name or an object.

    A name with dashes means a pipeline, a name with underscores a component. If only one of them exists, both spellings work.

    Raises:
        InputError: If there is neither; the message suggests the closest name.
    """
    found = _find(name) if isinstance(name, str) else name
    return _describe_pipeline(found) if isinstance(found, GraphComponent) else _describe_component(found)


def parameters(name: str | GraphComponent | Component) -> tuple[Parameter, ...]:
    """Input parameters of a pipeline or component, in the order of its signature."""
    return describe(name).inputs


def _find(name: str) -> GraphComponent | Component:
    as_pipeline, as_component = name.replace("_", "-"), name.replace("-", "_")
    if as_pipeline in catalog.PIPELINES and (name == as_pipeline or as_component not in catalog.COMPONENTS):
        return catalog.pipeline(as_pipeline)
    if as_component in catalog.COMPONENTS:
        return catalog.component(as_component)
    everything = (*catalog.PIPELINES, *catalog.COMPONENTS)
    raise InputError(f"no pipeline or component '{name}'{did_you_mean(name, everything)}; run 'stagewright list' to see all")


def _describe_pipeline(pipeline: GraphComponent) -> Description:
    spec, _ = spec_of(pipeline)
    steps = tuple(_steps(spec["root"]["dag"], spec))
    return Description(
        name=pipeline.name,
        kind="pipeline",
        **_text(pipeline.pipeline_func.__doc__),
        **_interface(spec["root"], pipeline, pipeline.pipeline_func.__doc__),
        images=tuple(sorted({step.image for step in steps})),
        steps=steps,
    )


def _describe_component(component: Component) -> Description:
    spec, _ = spec_of(component)  # type: ignore[arg-type]  # both kinds have the two specs
    documentation = component.python_func.__doc__
    return Description(
        name=component.python_func.__name__,
        kind="component",
        **_text(documentation),
        **_interface(spec["root"], component, documentation),
        images=(component.group,),
        cacheable=component.cacheable,
    )


def _text(documentation: str | None) -> dict[str, Any]:
    parsed = docstring_parser.parse(documentation or "")
    paragraphs = (parsed.long_description or "").split("\n\n")
    details = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return {"summary": " ".join((parsed.short_description or "").split()), "details": details}


def _interface(root: Tree, declared: BaseComponent, documentation: str | None) -> dict[str, Any]:
    """Fields from the spec, in the order of the signature; outputs' descriptions come from the docstring."""
    parsed = docstring_parser.parse(documentation or "")
    words = {entry.arg_name: " ".join((entry.description or "").split()) for entry in parsed.params}
    if parsed.returns and parsed.returns.description:
        words["Output"] = " ".join(parsed.returns.description.split())
    inputs, artifacts = _fields(root.get("inputDefinitions", {}), declared.component_spec.inputs, words)
    outputs, made = _fields(root.get("outputDefinitions", {}), declared.component_spec.outputs, words)
    return {"inputs": inputs, "input_artifacts": artifacts, "outputs": outputs, "output_artifacts": made}


def _fields(
    definitions: Tree, declared: Iterable[str] | None, words: Mapping[str, str]
) -> tuple[tuple[Parameter, ...], tuple[Artifact, ...]]:
    """Parameters and artifacts in declaration order."""
    parameters, artifacts = definitions.get("parameters", {}), definitions.get("artifacts", {})
    names = tuple(declared or ())
    return (
        tuple(from_spec(name, parameters[name], words.get(name, "")) for name in names if name in parameters),
        tuple(_artifact(name, artifacts[name], words) for name in names if name in artifacts),
    )


def _artifact(name: str, field: Tree, words: Mapping[str, str]) -> Artifact:
    kind = field["artifactType"]["schemaTitle"].removeprefix("system.")
    listed = f"list of {kind}" if field.get("isArtifactList") else kind
    return Artifact(name, listed, " ".join(field.get("description", words.get(name, "")).split()))


def _steps(dag: Tree, spec: Tree, condition: str = "", after: tuple[str, ...] = ()) -> Iterator[Step]:
    """Steps of a graph in a valid execution order; a condition is replaced by its steps.

    A step inside a condition also waits for the steps that the condition waits for.
    """
    for name in _ordered(dag["tasks"]):
        task = dag["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        waits = tuple(dict.fromkeys((*after, *task.get("dependentTasks", []))))
        if "dag" in component:
            inner = " and ".join(part for part in (condition, _condition(task)) if part)
            yield from _steps(component["dag"], spec, inner, waits)
            continue
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        yield Step(
            name=name,
            component=_component_name(name, executor),
            image=_group(executor.get("container", {}).get("image", "")),
            cacheable=task.get("cachingOptions", {}).get("enableCache", False),
            after=tuple(step for step in waits if step != name),
            condition=condition,
        )


def _condition(task: Tree) -> str:
    """The condition of a group of steps as the pipeline wrote it; the group's name if it has no condition."""
    text = task.get("triggerPolicy", {}).get("condition", "")
    return _CHANNEL.sub(r"\1", text) or str(task["taskInfo"]["name"])


def _ordered(tasks: Tree) -> list[str]:
    """Topological order of tasks; among ready tasks the one that became ready last is first, so chains stay together."""
    waiting = {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()}
    done: list[str] = []
    while waiting:
        possible = [name for name, others in waiting.items() if others <= set(done)]
        latest = max(possible, key=lambda name: (max((done.index(other) for other in waiting[name]), default=-1), name))
        done.append(latest)
        del waiting[latest]
    return done


def _component_name(task: str, executor: Tree) -> str:
    arguments = executor.get("container", {}).get("args", [])
    if "--function_to_execute" in arguments:
        return str(arguments[arguments.index("--function_to_execute") + 1])
    return task


def _group(image: str) -> str:
    """Parse the group from an image name: `REGISTRY/stagewright-GROUP:TAG`."""
    return image.rpartition("/")[2].partition(":")[0].removeprefix("stagewright-")

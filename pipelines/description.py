"""What a pipeline or a component is, read from what it compiles to: inputs, outputs, images, caching, steps and their order."""

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
    """A file or a folder that a component takes or gives."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A task of a pipeline.

    Attributes:
        name: Unique in the pipeline.
        component: The component that it runs.
        after: Names of the steps that it waits for, whether for what they make or only for their end.
        condition: What must hold for it to run, in terms of parameters; empty if it always runs.
    """

    name: str
    component: str
    image: str
    cacheable: bool
    after: tuple[str, ...]
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """What a pipeline or a component is.

    Attributes:
        kind: "pipeline" or "component".
        summary: The first sentence of its docstring.
        details: The rest of its docstring's text.
        images: Image groups that it runs in.
        cacheable: Whether equal inputs may reuse an earlier result; None for a pipeline, whose steps say so.
        steps: In an order in which they can run; empty for a component.
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
    """Describe a pipeline or a component, given by name or itself.

    A name with dashes is a pipeline, with underscores a component; where only one exists, either way of writing will do.

    Raises:
        InputError: If there is neither, naming the nearest of both.
    """
    found = _find(name) if isinstance(name, str) else name
    return _describe_pipeline(found) if isinstance(found, GraphComponent) else _describe_component(found)


def parameters(name: str | GraphComponent | Component) -> tuple[Parameter, ...]:
    """What can be given to a pipeline or a component, in the order of its signature."""
    return describe(name).inputs


def _find(name: str) -> GraphComponent | Component:
    as_pipeline, as_component = name.replace("_", "-"), name.replace("-", "_")
    if as_pipeline in catalog.PIPELINES and (name == as_pipeline or as_component not in catalog.COMPONENTS):
        return catalog.pipeline(as_pipeline)
    if as_component in catalog.COMPONENTS:
        return catalog.component(as_component)
    everything = (*catalog.PIPELINES, *catalog.COMPONENTS)
    raise InputError(
        f"no pipeline or component '{name}'{did_you_mean(name, everything)}; 'stagewright list' shows what there is"
    )


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
    """Facts from the spec; the order from the signature and outputs' words from the docstring, which the spec does not keep."""
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
    """Parameters and artifacts, each in the order in which they were declared."""
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
    """The steps of a graph in an order in which they can run; a condition's own steps take its place.

    A step inside a condition waits for what it uses, and for what the condition waits for.
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
    """What a group of steps depends on, as the pipeline wrote it; the group's name if it is not a condition."""
    text = task.get("triggerPolicy", {}).get("condition", "")
    return _CHANNEL.sub(r"\1", text) or str(task["taskInfo"]["name"])


def _ordered(tasks: Tree) -> list[str]:
    """Every task after those that it waits for; among the rest, the one that most recently became possible comes first, so that
    a chain stays together."""
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
    """The group in an image's name: `REGISTRY/stagewright-GROUP:TAG`."""
    return image.rpartition("/")[2].partition(":")[0].removeprefix("stagewright-")

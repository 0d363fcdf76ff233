"""A page of documentation for a pipeline or a component, as Markdown, from its description."""

import json
from collections.abc import Iterable, Mapping, Sequence

from stagewright.pipelines.description import Artifact, Description, Step
from stagewright.pipelines.parameters import Parameter

GENERATED = "<!-- Made by `python -m stagewright.pipelines.tooling.docs`; change the docstrings and run it again. -->"

_CACHING = {True: "may be reused for equal inputs", False: "always made again"}


def page(description: Description, *, used_by: Sequence[str] = ()) -> str:
    """The page of a pipeline or a component.

    Args:
        description: What to document.
        used_by: For a component, the pipelines that use it.
    """
    parts = [GENERATED, f"# {description.name}", description.summary, description.details]
    parts += _pipeline_parts(description) if description.kind == "pipeline" else _component_parts(description, used_by)
    inputs = [*map(_artifact_row, description.input_artifacts), *map(_parameter_row, description.inputs)]
    outputs = [(*_artifact_row(made)[:2], _cell(made.description)) for made in description.output_artifacts]
    outputs += [(f"`{made.name}`", f"`{made.type}`", _cell(made.description)) for made in description.outputs]
    parts += ["## Inputs", table(("name", "type", "default", "description"), inputs)] if inputs else []
    parts += ["## Outputs", table(("name", "type", "description"), outputs)] if outputs else []
    return "\n\n".join(part for part in parts if part) + "\n"


def index(title: str, introduction: str, entries: Iterable[Description], *, more: str = "") -> str:
    """The list of all pages of a kind."""
    rows = [(f"[{entry.name}]({entry.name}.md)", _cell(entry.summary), ", ".join(entry.images)) for entry in entries]
    parts = [GENERATED, f"# {title}", introduction, table(("name", "what it does", "images"), rows), more]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def graph(steps: Sequence[Step]) -> str:
    """The steps as a Mermaid flow chart; those under a condition stand in a box that names it."""
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {_node(step.name)}[{step.name}]" for step in steps if not step.condition]
    for number, condition in enumerate(dict.fromkeys(step.condition for step in steps if step.condition)):
        lines.append(f'    subgraph condition_{number}["{condition.replace(chr(34), chr(39))}"]')
        lines += [f"        {_node(step.name)}[{step.name}]" for step in steps if step.condition == condition]
        lines.append("    end")
    lines += [f"    {_node(before)} --> {_node(after)}" for before, after in direct_edges(steps)]
    return "\n".join([*lines, "```"])


def direct_edges(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """Which step waits for which, without what follows from the others."""
    known = {step.name for step in steps}
    waits = {step.name: [name for name in step.after if name in known] for step in steps}
    ancestors: dict[str, set[str]] = {}
    for step in steps:  # in an order in which they can run
        ancestors[step.name] = set(waits[step.name]).union(*(ancestors[name] for name in waits[step.name]))
    return [
        (before, after)
        for after, befores in waits.items()
        for before in befores
        if not any(before in ancestors[other] for other in befores if other != before)
    ]


def _pipeline_parts(description: Description) -> list[str]:
    required = " ".join(f"{entry.option} {entry.name.upper()}" for entry in description.inputs if entry.required)
    steps = [
        (
            f"{step.name}", f"[{step.component}](../components/{step.component}.md)", step.image,
            _CACHING[step.cacheable], f"`{step.condition}`" if step.condition else "always",
        )
        for step in description.steps
    ]  # fmt: skip
    return [
        f"```sh\nstagewright run {description.name} {required}\n```",
        "## Steps",
        graph(description.steps),
        table(("step", "component", "image", "result", "runs"), steps),
    ]


def _component_parts(description: Description, used_by: Sequence[str]) -> list[str]:
    facts = {
        "Image": f"`stagewright-{description.images[0]}`",
        "Result": _CACHING[bool(description.cacheable)],
        "Used by": ", ".join(f"[{name}](../pipelines/{name}.md)" for name in used_by) or "no pipeline",
    }
    return ["\n".join(f"- {name}: {fact}" for name, fact in facts.items())]


def _artifact_row(artifact: Artifact) -> tuple[str, ...]:
    return (f"`{artifact.name}`", artifact.type, "", _cell(artifact.description))


def _parameter_row(parameter: Parameter) -> tuple[str, ...]:
    default = "**required**" if parameter.required else f"`{json.dumps(parameter.default)}`"
    return (f"`{parameter.name}`", f"`{parameter.type}`", default, _cell(parameter.description))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _node(name: str) -> str:
    return name.replace("-", "_")


def used_by(pipelines: Mapping[str, Description]) -> dict[str, list[str]]:
    """Component -> the pipelines that use it."""
    uses: dict[str, list[str]] = {}
    for name, description in pipelines.items():
        for component in dict.fromkeys(step.component for step in description.steps):
            uses.setdefault(component, []).append(name)
    return uses

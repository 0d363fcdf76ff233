"""Print the description of a pipeline or component on a terminal."""

import json

from kfp.dsl.graph_component import GraphComponent
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from stagewright.components.authoring import Component
from stagewright.pipelines.description import Description, describe
from stagewright.pipelines.parameters import Parameter
from stagewright.pipelines.tooling.pages import direct_edges


def show(console: Console, name: str | GraphComponent | Component) -> None:
    """Print a pipeline's or a component's inputs, outputs, images and steps.

    Raises:
        InputError: If the name is unknown.
    """
    description = describe(name)
    console.print(f"[bold]{description.name}[/bold]  {description.kind}", highlight=False)
    console.print(escape(description.summary), highlight=False)
    if description.details:
        console.print("\n" + escape(description.details), highlight=False, style="dim")
    for title, table in _sections(description):
        console.print(f"\n[bold]{title}[/bold]")
        console.print(table)
    caching = {True: "reused for equal inputs", False: "never reused", None: "declared by each step"}
    console.print(f"\n[bold]images[/bold]   {', '.join(description.images)}", highlight=False)
    console.print(f"[bold]results[/bold]  {caching[description.cacheable]}", highlight=False)


def default_text(parameter: Parameter) -> str:
    """A parameter's default as JSON; "required" if it has none, empty if the default is an empty value."""
    if parameter.required:
        return "required"
    return json.dumps(parameter.default) if parameter.default not in ("", {}, []) else ""


def _sections(description: Description) -> list[tuple[str, RenderableType]]:
    inputs = [(artifact.name, artifact.type, "", artifact.description) for artifact in description.input_artifacts]
    inputs += [(entry.name, entry.type, default_text(entry), entry.description) for entry in description.inputs]
    outputs = [(artifact.name, artifact.type, "", artifact.description) for artifact in description.output_artifacts]
    outputs += [(made.name, made.type, "", made.description) for made in description.outputs]
    sections = [("inputs", _table(inputs)), ("outputs", _table(outputs))]
    steps = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("step", "image", "waits for", "only if"):
        steps.add_column(column, overflow="fold")
    edges = direct_edges(description.steps)
    for step in description.steps:
        waits = ", ".join(before for before, after in edges if after == step.name)
        steps.add_row(step.name, step.image, waits, escape(step.condition))
    sections += [("steps", steps)] if description.steps else []
    return [(title, table) for title, table in sections if table.row_count]


def _table(rows: list[tuple[str, str, str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table

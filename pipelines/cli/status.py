"""`stagewright status`: local services and deployed models."""

from rich.console import Console

from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.local import services

WIDTH = 16


def show(console: Console) -> None:
    """Print one line per local service and deployed model."""
    console.print("[bold]services[/bold]")
    for name in (services.OBJECT_STORE, services.TRACKING):
        found = services.find(name)
        where = f"{found.endpoint}   log {found.log}" if found else "not running; start it with 'stagewright up'"
        console.print(f"  {name:<{WIDTH}}{where}", soft_wrap=True, highlight=False)
    console.print("[bold]models[/bold]")
    deployed = deployments.services()
    width = max((len(model.name) for model in deployed), default=0) + 2
    for model in deployed:
        state = "" if model.alive else "   stopped"
        line = f"  {model.name:<{max(width, WIDTH)}}{model.endpoint}   {model.version}{state}   log {model.log}"
        console.print(line, soft_wrap=True, highlight=False)
    if not deployed:
        console.print("  no model is deployed; see 'stagewright run train-model --help'", highlight=False)

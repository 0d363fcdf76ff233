"""`stagewright doctor`: what is missing on a cluster, one line each."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from stagewright.pipelines.cli.cluster_commands import OnlyJson, Place, connected

if TYPE_CHECKING:
    from stagewright.pipelines.kubeflow.doctor import Finding

_STYLES = {"ok": "green", "missing": "bold red", "unknown": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("doctor")(doctor)


@connected
def doctor(
    at: Place,
    namespace: Annotated[str, typer.Option(help="Namespace that steps and models run in.")] = "stagewright",
    service_account: Annotated[str, typer.Option(help="Whom the steps run as.")] = "stagewright-runner",
    profile: Annotated[str, typer.Option(help="Cluster settings: a profile's name or a YAML file.")] = "default",
    registry: Annotated[str, typer.Option(help="Registry that holds the images.")] = "",
    tag: Annotated[str, typer.Option(help="Tag of the images; this version if not given.")] = "",
    only_json: OnlyJson = False,
) -> None:
    """Find what is missing on a cluster: each thing that runs need, whether it is there, and what to do."""
    from stagewright.components.runtime.service_names import check_namespace
    from stagewright.pipelines import profiles
    from stagewright.pipelines.kubeflow.compile import Target
    from stagewright.pipelines.kubeflow.doctor import MISSING, examine
    from stagewright.pipelines.kubeflow.doctor import Place as Examined

    check_namespace(namespace)
    target = Target(registry, tag, profile)
    place = Examined(at[0], at[1], namespace, service_account, profiles.load(profile), target.registry, target.tag)
    console, found = Console(), []
    for finding in examine(place):
        found.append(finding)
        if not only_json:
            console.print(line(finding), soft_wrap=True)
    lacking = [finding for finding in found if finding.state == MISSING]
    if only_json:
        document = {"ok": not lacking, "findings": [finding.to_dict() for finding in found]}
        sys.stdout.write(json.dumps(document) + "\n")
    raise typer.Exit(1 if lacking else 0)


def line(finding: "Finding") -> Text:
    """`missing  Secret stagewright/minio-ca: is not there; kubectl ...`."""
    text = Text(f"{finding.state:<9}", style=_STYLES[finding.state])
    text.append(finding.what, style="default")
    says = "; ".join(part for part in (finding.says, finding.advice) if part)
    return text.append(f": {says}", style="default") if says else text

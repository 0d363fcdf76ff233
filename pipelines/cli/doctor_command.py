"""`stagewright doctor`: check a cluster's setup, one line per check."""

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
    namespace: Annotated[str, typer.Option(help="Namespace of the steps and models.")] = "stagewright",
    service_account: Annotated[str, typer.Option(help="Kubernetes service account of the steps.")] = "stagewright-runner",
    profile: Annotated[str, typer.Option(help="Cluster settings: profile name or YAML file.")] = "default",
    registry: Annotated[str, typer.Option(help="Image registry.")] = "",
    tag: Annotated[str, typer.Option(help="Image tag. Default: this version.")] = "",
    only_json: OnlyJson = False,
) -> None:
    """Check that a cluster has everything that runs need; show what is missing and how to fix it."""
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

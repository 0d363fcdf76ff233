"""`stagewright render`: a model's files for a GitOps repository."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from stagewright.pipelines.cluster_commands import OnlyJson


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("render")(render)


def render(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Option(help="The published version, such as v1.2.0.")],
    folder: Annotated[str, typer.Option(help="Folder that receives the files: NAMESPACE/NAME/ below it.")] = ".",
    namespace: Annotated[str, typer.Option(help="Namespace of the service.")] = "default",
    variant: Annotated[str, typer.Option(help="How the version is served: cpu, cpu-int8, gpu or gpu-fp16.")] = "cpu",
    mode: Annotated[str, typer.Option(help="KServe's deployment mode: Standard or Knative.")] = "Standard",
    canary: Annotated[str, typer.Option(help="A newer version that gets a part of the requests.")] = "",
    traffic: Annotated[int, typer.Option(help="The canary's share in percent.", show_default=False)] = 0,
    cpu_request: Annotated[str, typer.Option(help="CPU that a replica is given.")] = "250m",
    cpu_limit: Annotated[str, typer.Option(help="CPU that a replica may use at most.")] = "1",
    memory_request: Annotated[str, typer.Option(help="Memory that a replica is given.")] = "256Mi",
    memory_limit: Annotated[str, typer.Option(help="Memory that a replica may use at most.")] = "512Mi",
    min_replicas: Annotated[int, typer.Option(help="Replicas at least; 0 scales to nothing in Knative mode.")] = 1,
    max_replicas: Annotated[int, typer.Option(help="Replicas at most.")] = 1,
    service_account: Annotated[str, typer.Option(help="Lists the Secret of the object store.")] = "stagewright-predictor",
    bucket: Annotated[str, typer.Option(envvar="STAGEWRIGHT_MODELS_BUCKET", help="Bucket of published models.")] = "models",
    update: Annotated[bool, typer.Option("--update", help="Change the version of files that are there, nothing else.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ask the object store first whether it is published.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit the files; nothing is pushed.")] = False,
    only_json: OnlyJson = False,
) -> None:
    """Write a model's files for a GitOps repository."""
    from stagewright.components.serving.inference_service import Replicas, Resources
    from stagewright.pipelines import render as rendering

    settings = {
        "variant": variant,
        "mode": mode,
        "resources": Resources(cpu_request, cpu_limit, memory_request, memory_limit),
        "replicas": Replicas(min_replicas, max_replicas),
        "service_account": service_account,
    }
    wanted = rendering.Rendering(name, version, namespace, settings, bucket, canary, traffic)
    write = rendering.update if update else rendering.render
    written = write(wanted, folder, commit=commit, check=check)
    if only_json:
        document = {"path": str(written.path), "changed": written.changed, "commit": written.commit}
        sys.stdout.write(json.dumps(document) + "\n")
        return
    state = f"committed {written.commit[:10]}" if written.commit else "written" if written.changed else "unchanged"
    Console().print(f"{written.path}: {state}", soft_wrap=True, highlight=False)

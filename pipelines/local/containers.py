"""Run pipelines in containers: each step in its image, as on a cluster, with Docker and kfp.local.

Containers access only the network and the run's folder. Local input files are therefore copied to the object store first, and
the model is deployed and promoted from this process after the last step.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagewright.components.images import image
from stagewright.components.registry.promote import promote
from stagewright.components.runtime.access import check_deploying
from stagewright.components.runtime.cluster import own_namespace
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import BASELINE
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.storage import ObjectStore, join
from stagewright.components.serving.deploy import deploy
from stagewright.components.serving.targets import local as deployments
from stagewright.components.serving.targets.local import Deployment
from stagewright.pipelines import catalog, description
from stagewright.pipelines.local import results, runner
from stagewright.pipelines.local.container_inputs import share_inputs
from stagewright.pipelines.local.docker_steps import is_present, own_containers, predictor_command
from stagewright.pipelines.local.runner import Run
from stagewright.pipelines.watch import SUCCEEDED, Watch

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to start: pipeline with images, arguments for containers, and deployment target."""

    name: str
    pipeline: "GraphComponent"
    arguments: Mapping[str, Any]
    deploy_to: str


def prepare(name: str, arguments: Mapping[str, Any]) -> Prepared:
    """Check that a run can start, and copy its input files to the object store.

    Raises:
        InputError: If an image is missing, or an argument refers to something that containers cannot read.
        ServiceUnavailable: If Docker or the object store does not respond.
    """
    defaults = {parameter.name: parameter.default for parameter in description.parameters(name)}
    deploy_to = str(arguments.get("deploy_to", defaults.get("deploy_to", "none")))
    pipeline = pipeline_with_images(name, arguments)
    check(pipeline, with_predictor=deploy_to == "local")
    if deploy_to == "cluster":  # checked here, because containers have no kubeconfig
        check_deploying(str(arguments.get("namespace") or own_namespace()))
    shared = share_inputs(arguments)
    if "deploy_to" in defaults:
        shared["deploy_to"] = "none"
    return Prepared(name, pipeline, shared, deploy_to)


def run(prepared: Prepared, *, watch: Watch | None = None) -> Run:
    """Run each step in a container, then deploy and promote the model; see `runner.run`."""
    this = runner.run(prepared.name, prepared.arguments, watch=watch, pipeline=prepared.pipeline, runner=own_containers)
    if this.status == SUCCEEDED and prepared.deploy_to != "none":
        with runner.step(this, "deploy-model", watch):
            _deploy(this, prepared)
        if this.status == SUCCEEDED:
            with runner.step(this, "promote-model", watch):
                promote(name=prepared.arguments["name"], version=results.collect(this)["version"])
    return this


def pipeline_with_images(name: str, arguments: Mapping[str, Any]) -> "GraphComponent":
    """A pipeline with the images that its arguments require."""
    from stagewright.pipelines.kubeflow.compile import Target, retrace
    from stagewright.pipelines.profiles import Profile, frameworks

    target = Target(profile=Profile(name="containers", images=frameworks.images(arguments)))
    return retrace(catalog.pipeline(name), target)


def serve(name: str, version: str, model_uri: str) -> Deployment:
    """Serve a published model in a container; it replaces the current one after its smoke test passes.

    Raises:
        GateFailed: If it does not start or fails the smoke test; the current model is kept.
    """
    store = ObjectStore.from_environment("the object store holds the model to deploy")
    baseline = join(model_uri, f"{SERVING}/{BASELINE}")
    content = store.read(baseline) if store.exists(baseline) else None
    return deployments.deploy(name=name, version=version, model_uri=model_uri, baseline=content, command=predictor_command)


def check(pipeline: "GraphComponent", *, with_predictor: bool) -> None:
    """Check that Docker responds and has every image of a run.

    Raises:
        InputError: If an image is missing, or MLflow is configured as a local file.
        ServiceUnavailable: If Docker does not respond.
    """
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking and not tracking.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI is {tracking}, which containers cannot read; unset it or set a server's URL")
    serving = [image("predictor")] if with_predictor else []
    missing = [name for name in [*_images(pipeline), *serving] if not is_present(name)]
    if missing:
        names = f"image {missing[0]} is" if len(missing) == 1 else f"images {' and '.join(missing)} are"
        raise InputError(f"{names} not on this machine; build it with 'make images', or pull and tag it with this name")


def _images(pipeline: "GraphComponent") -> list[str]:
    executors = pipeline.pipeline_spec.deployment_spec["executors"]
    found = {
        executor["container"]["image"] for executor in (dict(value) for value in executors.values()) if "container" in executor
    }
    return sorted(found)


def _deploy(run: Run, prepared: Prepared) -> None:
    made, given = results.collect(run), prepared.arguments
    if prepared.deploy_to == "local":
        run.outputs["endpoint"] = serve(given["name"], made["version"], made["model_uri"]).endpoint
        return
    options = {key: given[key] for key in ("mode", "namespace", "gitops") if key in given}
    deployed = deploy(
        name=given["name"], version=made["version"], model_uri=made["model_uri"], target=prepared.deploy_to, **options
    )
    manifest = run.folder / "inference_service.yaml"
    manifest.write_text(deployed.manifest)
    run.outputs |= {"endpoint": deployed.endpoint, "manifest": str(manifest)}

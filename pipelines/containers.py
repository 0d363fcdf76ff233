"""Runs in containers: each step in its image, as on a cluster, with Docker and kfp.local on this machine.

The containers see nothing of this machine but its network and the run's own folder. Local input files are therefore put into
the object store first, and what concerns the machine itself, deploying and promoting, is done here when the last one has ended.
"""

import codecs
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.images import image
from stagewright.components.registry.promote import promote
from stagewright.components.runtime.content import BASELINE
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.storage import ObjectStore, join
from stagewright.components.serving import local as deployments
from stagewright.components.serving.deploy import deploy
from stagewright.components.serving.local import Deployment
from stagewright.pipelines import catalog, description, local, results, services
from stagewright.pipelines.local import Run, Watch

if TYPE_CHECKING:
    from docker import DockerClient
    from kfp.dsl.graph_component import GraphComponent
    from kfp.local import DockerRunner

USER = 65532
INPUTS_BUCKET = "inputs"
MEMORY = "512m"
# What the steps read from the environment; the rest of this machine's variables stay here.
VARIABLES = ("AWS_", "MLFLOW_", "STAGEWRIGHT_LOG", "STAGEWRIGHT_MODELS_BUCKET")

_HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin: the pipeline with its images, arguments that containers can use, and what follows the last step."""

    name: str
    pipeline: "GraphComponent"
    arguments: Mapping[str, Any]
    deploy_to: str


def prepare(name: str, arguments: Mapping[str, Any]) -> Prepared:
    """See that a run can begin, and put its input files where the containers can read them.

    Raises:
        InputError: If an image is missing, or an argument means something that a container cannot see.
        ServiceUnavailable: If Docker or the object store does not answer.
    """
    defaults = {parameter.name: parameter.default for parameter in description.parameters(name)}
    deploy_to = str(arguments.get("deploy_to", defaults.get("deploy_to", "none")))
    pipeline = pipeline_with_images(name, arguments)
    check(pipeline, with_predictor=deploy_to == "local")
    shared = share_inputs(arguments)
    if "deploy_to" in defaults:
        shared["deploy_to"] = "none"
    return Prepared(name, pipeline, shared, deploy_to)


def run(prepared: Prepared, *, watch: Watch | None = None) -> Run:
    """Run each step in a container, then deploy and promote from here; see `local.run`."""
    with _own_containers():
        this = local.run(prepared.name, prepared.arguments, watch=watch, pipeline=prepared.pipeline, runner=runner)
    if this.status == local.SUCCEEDED and prepared.deploy_to != "none":
        with local.step(this, "deploy-model", watch):
            _deploy(this, prepared)
        if this.status == local.SUCCEEDED:
            with local.step(this, "promote-model", watch):
                promote(name=prepared.arguments["name"], version=results.collect(this)["version"])
    return this


def pipeline_with_images(name: str, arguments: Mapping[str, Any]) -> "GraphComponent":
    """A pipeline whose steps name the images that its arguments ask for."""
    from stagewright.pipelines.compile import Target, retrace
    from stagewright.pipelines.profiles import Profile, frameworks

    return retrace(catalog.pipeline(name), Target(profile=Profile(name="containers", images=frameworks.images(arguments))))


def check(pipeline: "GraphComponent", *, with_predictor: bool) -> None:
    """See that Docker answers and has every image of a run.

    Raises:
        InputError: If an image is missing, or a service is only reachable through this machine's files.
        ServiceUnavailable: If Docker does not answer.
    """
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking and not tracking.startswith(("http://", "https://")):
        raise InputError(
            f"MLFLOW_TRACKING_URI is {tracking}, which a container cannot see; unset it or name a server's address"
        )
    serving = [image("predictor")] if with_predictor else []
    missing = [name for name in [*_images(pipeline), *serving] if not _is_present(name)]
    if missing:
        names = f"image {missing[0]} is" if len(missing) == 1 else f"images {' and '.join(missing)} are"
        raise InputError(f"{names} not on this machine; build with 'make images', or pull and tag with this name")


def runner(folder: Path) -> "DockerRunner":
    """How kfp.local starts a step: as its image's user (or as whoever runs this), with a file system that cannot be written to.

    Args:
        folder: Where the steps' outputs go; it is made writable for the containers' user.
    """
    from kfp import local

    folder.mkdir(parents=True, exist_ok=True)
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (USER, USER)
    services.artifacts().mkdir(parents=True, exist_ok=True)
    if not os.getuid():
        # Runs of this machine's processes leave folders behind that only root may write to.
        inside = (path for path in services.artifacts().rglob("*") if path.is_dir())
        for place in (folder, services.artifacts(), *inside):
            os.chown(place, user, group)
    return local.DockerRunner(
        network_mode="host",
        user=f"{user}:{group}",
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108  the container's
        **_HARDENED,
    )


def run_container(client: "DockerClient", image: str, command: list[str], volumes: Mapping[str, Any], **options: Any) -> int:
    """Run one step's container to its end, with what it prints on standard output; its exit code.

    kfp's own function lets Docker remove the container when it ends, and takes one that is gone before it is asked for as a
    success: a gate that said no would be passed. It also drops the runner's variables where a task sets one.
    """
    artifacts = str(services.artifacts())
    volumes = {**volumes, artifacts: {"bind": artifacts, "mode": "rw"}}
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    environment = variables | options.pop("environment", {})
    print(f"image {image}")  # noqa: T201  the run's log takes it
    container = client.containers.run(
        image=image, command=command, volumes=volumes, environment=environment, detach=True, **options
    )
    try:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in container.logs(stream=True, follow=True):
            print(decoder.decode(chunk), end="")  # noqa: T201
        code: int = container.wait()["StatusCode"]
        return code
    finally:
        container.remove(force=True)


@contextmanager
def _own_containers() -> Iterator[None]:
    """Let kfp.local run containers by `run_container`."""
    from kfp.local import docker_task_handler

    theirs = docker_task_handler.run_docker_container
    docker_task_handler.run_docker_container = run_container
    try:
        yield
    finally:
        docker_task_handler.run_docker_container = theirs


def share_inputs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments with local files replaced by copies in the object store, named after their content.

    Raises:
        InputError: If there is no such file, or it is of a kind that cannot be copied.
    """
    shared = dict(arguments)
    data, model = arguments.get("data"), arguments.get("model")
    if isinstance(data, str) and "://" not in data.removeprefix("file://"):
        shared["data"] = _share_data(data)
    elif isinstance(data, str) and data.startswith("sqlite"):
        raise InputError(
            "parameter 'data' is an SQLite file, which a container cannot see; use a file of rows or a server's address"
        )
    if isinstance(model, str) and Path(model).expanduser().exists():
        shared["model"] = _share_model(Path(model).expanduser())
    return shared


def serve(name: str, version: str, model_uri: str) -> Deployment:
    """Serve a published model in the predictor's container, in place of the one before, once it has answered as the model does.

    Raises:
        GateFailed: If it does not come up or answers something else; the one before still serves.
    """
    store = ObjectStore.from_environment("the object store holds the model to deploy")
    baseline = join(model_uri, f"{SERVING}/{BASELINE}")
    content = store.read(baseline) if store.exists(baseline) else None
    return deployments.deploy(name=name, version=version, model_uri=model_uri, baseline=content, command=predictor_command)


def predictor_command(name: str, version: str, model_uri: str, port: int) -> list[str]:
    """`docker run` of the predictor with no right that it does not need; ending the command ends the container."""
    program = shutil.which("docker")
    if program is None:
        raise InputError("the program 'docker' is not installed; it starts the predictor's container")
    # Variables by name only: their values would show in the list of processes.
    variables = [f"--env={variable}" for variable in sorted(os.environ) if variable.startswith("AWS_")]
    return [
        program, "run", "--rm", "--init=false", f"--name=stagewright-{name}-{port}", "--network=host", f"--env=PORT={port}",
        *variables, f"--user={USER}:{USER}", "--read-only", f"--memory={MEMORY}", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", image("predictor"),
        "--host", deployments.HOST, "--model", model_uri, "--name", name, "--version", version,
    ]  # fmt: skip


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


def _images(pipeline: "GraphComponent") -> list[str]:
    executors = pipeline.pipeline_spec.deployment_spec["executors"]
    found = {
        executor["container"]["image"] for executor in (dict(value) for value in executors.values()) if "container" in executor
    }
    return sorted(found)


def _is_present(name: str) -> bool:
    import docker.errors

    try:
        connect().images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def connect() -> "DockerClient":
    """A client of the Docker that answers here.

    Raises:
        InputError: If the client is not installed.
        ServiceUnavailable: If no Docker answers.
    """
    try:
        import docker
    except ModuleNotFoundError:
        raise InputError("the package 'docker' is not installed; install stagewright[local] to run in containers") from None
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        reason = "this user may not" if "Permission denied" in str(error) else "nothing is there"
        reason = reason if where.startswith("unix:") else type(error).__name__
        raise ServiceUnavailable(
            f"Docker does not answer at {where} ({reason}); start it, or run without --runner docker"
        ) from None
    return client


def _share_data(data: str) -> str:
    from stagewright.components.ingestion.locate import located

    with located(data, "") as (files, _):
        paths = [file.path.absolute() for file in files]
        root = paths[0].parent if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))
        return _share({path.relative_to(root).as_posix(): path for path in paths})


def _share_model(path: Path) -> str:
    if path.is_file():
        return _share({path.name: path})
    raise InputError(
        f"parameter 'model' is the folder {path}, which a container cannot see; name a published model (s3://...), "
        "a registered one (models:/...) or an .onnx file, or run without --runner docker"
    )


def _share(files: Mapping[str, Path]) -> str:
    """Copy files to an address made of their content, so that the same input is copied once and has one name in every run."""
    store = ObjectStore.from_environment("input files are handed to containers through the object store")
    store.ensure_bucket(INPUTS_BUCKET)
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    folder = f"s3://{INPUTS_BUCKET}/{digest.hexdigest()[:16]}"
    for name, path in files.items():
        uri = f"{folder}/{name}"
        with suppress(InputError):
            if store.stat(uri).size == path.stat().st_size:
                continue
        store.upload(path, uri)
    return f"{folder}/{next(iter(files))}" if len(files) == 1 else f"{folder}/"

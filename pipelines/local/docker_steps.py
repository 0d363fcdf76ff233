"""Docker on this machine: connect, check images, and start containers of steps and of the model server."""

import codecs
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.images import image
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError
from stagewright.components.serving.targets import local as deployments
from stagewright.pipelines.local import abandoned, services
from stagewright.pipelines.local.backend_form import BUCKET, Form, backend_form

if TYPE_CHECKING:
    from docker import DockerClient
    from kfp.local import DockerRunner

USER = 65532
STORE = Path("/s3")  # where the launcher mounts buckets
MEMORY = "512m"
# Environment variables that are passed to steps.
VARIABLES = ("AWS_", "MLFLOW_", "STAGEWRIGHT_LOG", "STAGEWRIGHT_MODELS_BUCKET")

_HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


def connect() -> "DockerClient":
    """Connect to Docker.

    Raises:
        InputError: If the Docker client package is not installed.
        ServiceUnavailable: If Docker does not respond.
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
        reason = "permission denied" if "Permission denied" in str(error) else "not running"
        reason = reason if where.startswith("unix:") else type(error).__name__
        raise ServiceUnavailable(
            f"Docker does not respond at {where} ({reason}); start it, or run without --runner docker"
        ) from None
    return client


def is_present(name: str) -> bool:
    import docker.errors

    try:
        connect().images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def runner(folder: Path) -> "DockerRunner":
    """Configure kfp.local's Docker runner: the image's user (or the current user), a read-only file system.

    Args:
        folder: Folder of the steps' outputs, made writable for the containers' user.
    """
    from kfp import local

    folder.mkdir(parents=True, exist_ok=True)
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (USER, USER)
    services.artifacts().mkdir(parents=True, exist_ok=True)
    if not os.getuid():
        # Runs in local processes leave folders that only root can write to.
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
    """Run one step's container, copy its output to standard output, and return its exit code.

    kfp's own function removes the container when it ends, and treats a container that is already removed as successful, so a
    failed gate could pass. It also drops the runner's variables if a task sets one.
    """
    artifacts = str(services.artifacts())
    volumes = {**volumes, artifacts: {"bind": artifacts, "mode": "rw"}}
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    environment = variables | options.pop("environment", {})
    print(f"image {image}")  # noqa: T201  the run's log takes it
    container = client.containers.run(
        image=image,
        command=command,
        volumes=volumes,
        environment=environment,
        labels=abandoned.labels(),
        detach=True,
        **options,
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
def own_containers(steps: Path) -> Iterator["DockerRunner"]:
    """Let kfp.local start containers with `run_container`, with inputs in the backend's form.

    Args:
        steps: The run's output folder, mounted at the launcher's path of the bucket.
    """
    from kfp.local import docker_task_handler

    form = Form(steps, mount=STORE)
    theirs = docker_task_handler.run_docker_container

    def ours(client: "DockerClient", image: str, command: list[str], volumes: Mapping[str, Any], **options: Any) -> int:
        # kfp may also mount a workspace.
        bound = {**volumes, str(steps): {**volumes[str(steps)], "bind": str(STORE / BUCKET)}}
        return run_container(client, image, command, bound, **options) or form.check(command)

    end_abandoned()
    docker_task_handler.run_docker_container = ours
    try:
        with backend_form(form):
            yield runner(steps)
    finally:
        docker_task_handler.run_docker_container = theirs


def predictor_command(name: str, version: str, model_uri: str, port: int) -> list[str]:
    """The `docker run` command of the model server with minimal privileges; ending the command stops the container."""
    program = shutil.which("docker")
    if program is None:
        raise InputError("the program 'docker' is not installed; it is needed to start the model server's container")
    # Variables by name only: their values would be visible in the process list.
    variables = [f"--env={variable}" for variable in sorted(os.environ) if variable.startswith("AWS_")]
    return [
        program, "run", "--rm", "--init=false", f"--name=stagewright-{name}-{port}", "--network=host", f"--env=PORT={port}",
        *variables, f"--user={USER}:{USER}", "--read-only", f"--memory={MEMORY}", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", image("predictor"),
        "--host", deployments.HOST, "--model", model_uri, "--name", name, "--version", version,
    ]  # fmt: skip


def end_abandoned() -> list[str]:
    """Remove the containers of killed runs; returns their names, or none if Docker does not respond."""
    try:
        client = connect()
    except StagewrightError:
        return []
    return abandoned.end_containers(client)

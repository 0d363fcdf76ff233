"""Docker for tests, through its program as a person would use it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

HARDENED = (
    "--network=host", "--read-only", "--user=65532:65532", "--memory=512m", "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)  # fmt: skip


def docker(*arguments: str) -> str:
    """What a docker command prints; one that fails is an error with its own words."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def in_image(image: str, *command: str, options: tuple[str, ...] = ("--read-only", "--network=none", "--cap-drop=ALL")) -> str:
    """What a command prints in a container without rights, whose only writable place is /tmp."""
    return docker("run", "--rm", *options, "--tmpfs=/tmp", "--entrypoint", command[0], image, *command[1:])


@contextmanager
def container(image: str, *command: str, options: tuple[str, ...] = HARDENED) -> Iterator[str]:
    """A container in the background, by its id."""
    identity = docker("run", "--detach", *options, image, *command)
    try:
        yield identity
    finally:
        docker("rm", "--force", identity)


def wait_for(container: str, template: str, wanted: str, *, seconds: float) -> None:
    """Wait until a fact of a container has a value."""
    deadline = time.monotonic() + seconds
    while (found := docker("inspect", "--format", template, container)) != wanted:
        assert time.monotonic() < deadline, f"{template} is {found} after {seconds} s: {docker('logs', container)}"
        time.sleep(0.1)

"""Containers of runs that were killed: each names the process that started it, and is ended when that one is gone.

A process is known by its pid and start time, on a machine and among the pids of which it is one: Docker may serve several.
"""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from stagewright.components.runtime.processes import Process, own

if TYPE_CHECKING:
    from docker import DockerClient

PLACE, PID, BEGAN = "stagewright.run.place", "stagewright.run.pid", "stagewright.run.began"


def labels() -> dict[str, str]:
    """Labels of a container that this process starts."""
    this = own()
    return {PLACE: _place(), PID: str(this.pid), BEGAN: this.began}


def end_containers(client: "DockerClient") -> list[str]:
    """End the containers of runs of this machine that are gone; their names."""
    import docker.errors

    ended = []
    for container in client.containers.list(all=True, filters={"label": f"{PLACE}={_place()}"}, ignore_removed=True):
        given = container.labels
        if not given.get(PID, "").isdecimal() or Process(int(given[PID]), given.get(BEGAN, "")).alive:
            continue
        try:
            container.remove(force=True)
        except docker.errors.APIError:  # another run has ended it, or is at it
            continue
        ended.append(str(container.name))
    return ended


def _place() -> str:
    """This machine, and the pids that this process sees."""
    try:
        pids = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        pids = ""
    return f"{platform.node()} {pids}".strip()

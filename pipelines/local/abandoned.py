"""Clean up containers of killed runs: labels identify the process that started each container.

A process is identified by machine, pid namespace, pid and start time, because several machines can share one Docker daemon.
"""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from stagewright.components.runtime.processes import Process, own

if TYPE_CHECKING:
    from docker import DockerClient

PLACE, PID, BEGAN = "stagewright.run.place", "stagewright.run.pid", "stagewright.run.began"


def labels() -> dict[str, str]:
    """Labels for containers that this process starts."""
    this = own()
    return {PLACE: _place(), PID: str(this.pid), BEGAN: this.began}


def end_containers(client: "DockerClient") -> list[str]:
    """Remove containers of this machine's runs whose process has ended; returns their names."""
    import docker.errors

    ended = []
    for container in client.containers.list(all=True, filters={"label": f"{PLACE}={_place()}"}, ignore_removed=True):
        given = container.labels
        if not given.get(PID, "").isdecimal() or Process(int(given[PID]), given.get(BEGAN, "")).alive:
            continue
        try:
            container.remove(force=True)
        except docker.errors.APIError:  # another run is removing it
            continue
        ended.append(str(container.name))
    return ended


def _place() -> str:
    """This machine and its pid namespace."""
    try:
        pids = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        pids = ""
    return f"{platform.node()} {pids}".strip()

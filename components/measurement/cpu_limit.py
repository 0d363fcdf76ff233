"""A limit of CPU for a process that is measured here, as a container's: by the kernel's quota where we may set one.

A quota gives a process its share of every 100 ms and then makes it wait, which is what users of a container with `cpu: 500m`
feel in their p99. Where no quota can be set, the container may have this limit already: a step on a cluster does. Otherwise
whole CPUs are allotted; half a CPU cannot be measured then.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from uuid import uuid4

from stagewright.components.runtime.cpus import quota as cpu_quota
from stagewright.components.runtime.errors import BadParameter, InputError

PERIOD = 100_000  # microseconds: the kernel's, and Kubernetes', default
ROOT = Path("/sys/fs/cgroup")
CONTAINER = "limit of the container"
NEARLY = 0.01  # a container's quota is rounded
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m?)")


class CannotLimit(InputError):
    """This machine, or this container, cannot measure a limit."""


@dataclass(frozen=True, slots=True)
class Limited:
    """How a process is limited.

    Attributes:
        how: "cgroup v2 quota", "cgroup v1 quota", "limit of the container" or "CPU affinity".
        prefix: What its command must begin with.
    """

    how: str
    prefix: tuple[str, ...] = ()


def cpus_of(quantity: str) -> float:
    """CPUs of a Kubernetes quantity.

    >>> cpus_of("500m"), cpus_of("2"), cpus_of("1.5")
    (0.5, 2.0, 1.5)

    Raises:
        BadParameter: If it is none, or nothing.
    """
    found = _QUANTITY.fullmatch(str(quantity))
    value = float(found[1]) / (1000 if found[2] else 1) if found else 0.0
    if not value > 0:
        raise BadParameter("cpu_limits", got=quantity, expected="CPU quantities such as '500m' or '2'")
    return value


def quantity_of(cpus: float) -> str:
    """The Kubernetes quantity, rounded up to 10 millicores.

    >>> quantity_of(2.0), quantity_of(0.5), quantity_of(0.123)
    ('2', '500m', '130m')
    """
    milli = max(10, ceil(round(cpus * 100, 6)) * 10)
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


@contextlib.contextmanager
def limited(cpus: float, *, root: Path = ROOT) -> Iterator[Limited]:
    """Limit what is started within this block to a number of CPUs.

    Args:
        root: Where cgroups are mounted.

    Raises:
        CannotLimit: If this machine has fewer CPUs, or this container another limit, or part of a CPU is asked for where there
            can be no quota.
    """
    here = len(os.sched_getaffinity(0))
    if cpus > here:
        raise CannotLimit(f"a limit of {cpus:g} CPUs cannot be measured on a machine with {here}")
    own = quota(root)
    if own is not None and cpus > own * (1 + NEARLY):
        raise CannotLimit(f"a limit of {cpus:g} CPUs cannot be measured in a container that has {own:g}")
    if (group := _make_group(cpus, root)) is not None:
        folder, how = group
        try:
            # The shell joins the group and becomes the command: nothing of it runs outside.
            join = f'echo $$ > "{folder}/cgroup.procs" && exec "$0" "$@"'
            yield Limited(how, ("/bin/sh", "-c", join))
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return
    if own is not None and abs(cpus - own) <= NEARLY * own:
        yield Limited(CONTAINER)
        return
    if cpus != int(cpus):
        raise CannotLimit(
            f"a limit of {cpus:g} CPUs cannot be measured here: cgroups cannot be written, and without them only whole CPUs "
            "can be allotted; give whole CPUs as cpu_limits, or run as a user who may set quotas"
        )
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[: int(cpus)])  # a child inherits it
    try:
        yield Limited("CPU affinity")
    finally:
        os.sched_setaffinity(0, before)


def quota(root: Path = ROOT) -> float | None:
    """CPUs that this container's own cgroup allows; None without a limit."""
    return cpu_quota(root / "cpu.max", root / "cpu")


def _make_group(cpus: float, root: Path) -> tuple[Path, str] | None:
    """A control group with the quota, or None where that is not ours to make."""
    name = f"stagewright-{uuid4().hex[:12]}"
    allowed = round(cpus * PERIOD)
    for parent, how, files in (
        (root, "cgroup v2 quota", {"cpu.max": f"{allowed} {PERIOD}"}),
        (root / "cpu", "cgroup v1 quota", {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(allowed)}),
    ):
        folder = parent / name
        try:
            folder.mkdir()
        except OSError:
            continue
        with contextlib.suppress(OSError):
            # Otherwise it is not a cgroup of this version, or one without the cpu controller.
            if all((folder / file).exists() for file in (*files, "cgroup.procs")):
                for file, value in files.items():
                    (folder / file).write_text(value)
                return folder, how
        with contextlib.suppress(OSError):
            folder.rmdir()
    return None


def with_prefix(limit: Limited | None, command: Sequence[str]) -> list[str]:
    """The command under its limit."""
    return [*(limit.prefix if limit else ()), *command]

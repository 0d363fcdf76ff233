"""How many CPUs this process may use: what the scheduler allows, and the container's quota where there is one."""

import os
from math import ceil
from pathlib import Path

_V2 = Path("/sys/fs/cgroup/cpu.max")
_V1 = Path("/sys/fs/cgroup/cpu")


def available(v2: Path = _V2, v1: Path = _V1) -> int:
    """Whole CPUs for which threads are worth starting; at least 1, and never more than the scheduler allows.

    A quota is rounded up: with 2.4 CPUs, three threads use all of them and two would leave 0.4 unused.

    Args:
        v2: File of the quota where cgroups have version 2.
        v1: Folder of the quota where they have version 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota(v2, v1)
    return max(1, allowed if limit is None else min(allowed, ceil(limit)))


def quota(v2: Path = _V2, v1: Path = _V1) -> float | None:
    """CPUs of the cgroup's quota; None without one."""
    try:
        if v2.exists():
            allowed, period = v2.read_text().split()
        else:
            allowed, period = ((v1 / name).read_text().strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        return None if allowed in ("max", "-1") else int(allowed) / int(period)
    except (OSError, ValueError):
        return None

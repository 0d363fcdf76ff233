"""The processor of this machine: what is measured on another is not the same."""

import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """The processor as the system calls it; a container sees its node's."""
    lines = INFORMATION.read_text().splitlines() if INFORMATION.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()

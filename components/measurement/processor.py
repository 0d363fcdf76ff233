"""The processor of this machine: a measurement on another one is not comparable."""

import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")
_VNNI = ("avx512_vnni", "avx_vnni")


def cpu_name() -> str:
    """Name of the processor as the system reports it; in a container, that of the node."""
    return _field("model name") or platform.processor() or platform.machine()


def saturates() -> bool:
    """Whether products of 8-bit numbers are added in 16 bits here: x86 without VNNI. Weights of 7 bits avoid the overflow."""
    flags = _field("flags").split()
    return platform.machine() in ("x86_64", "AMD64") and bool(flags) and not any(name in flags for name in _VNNI)


def _field(name: str) -> str:
    lines = INFORMATION.read_text().splitlines() if INFORMATION.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")

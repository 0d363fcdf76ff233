"""A replica of one size, and what it was measured to bear."""

from dataclasses import dataclass
from math import ceil

GIB = 1024**3
MIB = 1024**2
MEMORY_REQUEST, MEMORY_LIMIT = 1.25, 1.5  # of the peak that was measured: other requests than those measured may be larger
MEMORY_STEP = 16 * MIB


@dataclass(frozen=True, slots=True)
class Size:
    """A replica of one size and what it was measured to bear.

    Attributes:
        cpus: Its limit, and what it requests: less would promise less than was measured.
        capacity: Requests a second within the objective; 0 where not even a little load is.
        p99_ms: At that load.
        cpu_share: Share of its CPUs that it uses at that load.
        memory_bytes: The most memory that it held.
    """

    cpus: float
    capacity: float
    p99_ms: float
    cpu_share: float
    memory_bytes: int

    @property
    def memory_request(self) -> int:
        return _stepped(self.memory_bytes * MEMORY_REQUEST)

    @property
    def memory_limit(self) -> int:
        return _stepped(self.memory_bytes * MEMORY_LIMIT)


def _stepped(size: float) -> int:
    return max(1, ceil(size / MEMORY_STEP)) * MEMORY_STEP

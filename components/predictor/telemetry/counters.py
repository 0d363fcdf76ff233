"""Numbers that several processes count and any of them can add up: a piece of shared memory for each, and no lock between them.

A process writes only to its own slab, so counting costs what writing to an array costs. A slab outlives its process: the worker
that replaces a dead one goes on counting where it stopped. Names and labels of what is counted stand in the slab as lines of
JSON that are only ever added to; their length is written last, so a process that ends between two writes leaves nothing torn.
"""

import json
import mmap
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from operator import add
from typing import Self

SLAB = 4 * 1024 * 1024  # bytes for a process; the system provides only the pages that are written to
_NAMES = SLAB // 2  # where the names begin
_USED_BYTES, _USED_NUMBERS, _PID, _FIRST = 0, 1, 2, 8  # places in the slab, in numbers of 8 bytes
_LAST = _NAMES // 8 - 64  # what follows takes the numbers that have no place any more

Series = tuple[str, tuple[str, ...]]


class SharedMemory:
    """Memory for a number of processes; a child that inherits `descriptor` opens the same memory with it.

    Args:
        processes: How many slabs there are.
        descriptor: Of memory that another process has made; None makes new memory.
    """

    def __init__(self, processes: int, descriptor: int | None = None) -> None:
        self.processes = processes
        self.descriptor = _anonymous_file(processes * SLAB) if descriptor is None else descriptor
        self._memory = memoryview(mmap.mmap(self.descriptor, processes * SLAB))

    def slab(self, index: int) -> "Slab":
        return Slab(self._memory[index * SLAB : (index + 1) * SLAB])

    def slabs(self) -> Iterator["Slab"]:
        return (self.slab(index) for index in range(self.processes))

    @classmethod
    def private_folder(cls) -> Self:
        """Memory of this process alone."""
        memory = cls.__new__(cls)
        memory.processes, memory.descriptor, memory._memory = 1, -1, memoryview(mmap.mmap(-1, SLAB))
        return memory


class Slab:
    """The numbers of one process."""

    def __init__(self, memory: memoryview) -> None:
        self.numbers = memory[:_NAMES].cast("d")
        self._names = memory[_NAMES:]

    @property
    def pid(self) -> int:
        """The process that counts here; 0 before there was one, and after the last has ended."""
        return int(self.numbers[_PID])

    @pid.setter
    def pid(self, pid: int) -> None:
        self.numbers[_PID] = pid

    def series(self) -> Iterator[tuple[Series, slice, str]]:
        """What is counted, where, and how it is put together with other processes' numbers."""
        for line in bytes(self._names[: int(self.numbers[_USED_BYTES])]).splitlines():
            name, labels, at, count, shared = json.loads(line)
            yield (name, tuple(labels)), slice(at, at + count), shared


class SharedCounters:
    """This process's slab, and the sums over all of them."""

    def __init__(self, memory: SharedMemory | None = None, index: int = 0) -> None:
        self.memory = memory or SharedMemory.private()
        self._own = self.memory.slab(index)
        self._own.pid = os.getpid()
        self.numbers = self._own.numbers
        self._places = {series: place.start for series, place, _ in self._own.series()}
        self._lock = threading.Lock()
        self.numbers[_USED_NUMBERS] = max(self.numbers[_USED_NUMBERS], _FIRST)

    def place(self, name: str, labels: tuple[str, ...] = (), count: int = 1, *, shared: str = "sum") -> int:
        """Where `count` neighbouring numbers of a series begin in `numbers`.

        Args:
            shared: How the numbers of several processes are put together: "sum" or "max".

        When the slab is full, numbers go where nobody reads them: counting never fails a request.
        """
        with self._lock:
            found = self._places.get((name, labels))
            if found is None:
                found = self._places[name, labels] = self._add(name, labels, count, shared)
            return found

    def _add(self, name: str, labels: tuple[str, ...], count: int, shared: str) -> int:
        at, used = int(self.numbers[_USED_NUMBERS]), int(self.numbers[_USED_BYTES])
        line = json.dumps([name, labels, at, count, shared]).encode() + b"\n"
        if at + count > _LAST or used + len(line) > SLAB - _NAMES:
            return _LAST
        self._own._names[used : used + len(line)] = line
        self.numbers[_USED_NUMBERS] = at + count
        self.numbers[_USED_BYTES] = used + len(line)
        return at

    def reset(self, name: str) -> None:
        """Begin again at 0, whatever a process before left under this name."""
        for (known, _), place, _ in self._own.series():
            if known == name:
                self.numbers[place.start] = 0.0

    def sums(self) -> dict[Series, list[float]]:
        """Every series, put together over the processes."""
        totals: dict[Series, list[float]] = {}
        for slab in self.memory.slabs():
            for series, place, shared in slab.series():
                values = list(map(float, slab.numbers[place]))
                before = totals.get(series)
                if before is not None:
                    join = max if shared == "max" else add
                    values = [join(a, b) for a, b in zip(before, values, strict=True)]
                totals[series] = values
        return totals

    def pids(self) -> list[int]:
        """The processes that count."""
        return [slab.pid for slab in self.memory.slabs() if slab.pid]


def _anonymous_file(size: int) -> int:
    """A file without a name, in memory where the system has such files."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("stagewright-counters", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor

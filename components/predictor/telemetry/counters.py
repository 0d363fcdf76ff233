"""Counters in shared memory: every process writes to its own slab, any process sums all slabs, and no lock is shared.

A process writes only to its own slab, so counting is as cheap as writing to an array. A slab outlives its process: the worker
that replaces a dead one continues its counts. The slab stores the names and labels of its series as append-only lines of JSON.
Their total length is written last, so a process that dies between two writes leaves no partial line.
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

SLAB = 4 * 1024 * 1024  # bytes for each process; the operating system allocates only the pages that are written
_NAMES = SLAB // 2  # offset of the names, in bytes
# Indexes of the header fields and of the first series, in float64 numbers.
_USED_BYTES, _USED_NUMBERS, _PID, _FIRST = 0, 1, 2, 8
_LAST = _NAMES // 8 - 64  # index of an unread area, for series that no longer fit

Series = tuple[str, tuple[str, ...]]


class SharedMemory:
    """Shared memory with one slab for each process. A child process that inherits `descriptor` opens the same memory.

    Args:
        processes: Number of slabs.
        descriptor: File descriptor of existing shared memory; None creates new memory.
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
    def private(cls) -> Self:
        """Memory that only this process uses."""
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
        """Id of the process that owns this slab; 0 if there is none."""
        return int(self.numbers[_PID])

    @pid.setter
    def pid(self, pid: int) -> None:
        self.numbers[_PID] = pid

    def series(self) -> Iterator[tuple[Series, slice, str]]:
        """Yield each series: its name and labels, its slice of `numbers`, and how processes are combined ("sum" or "max")."""
        for line in bytes(self._names[: int(self.numbers[_USED_BYTES])]).splitlines():
            name, labels, at, count, shared = json.loads(line)
            yield (name, tuple(labels)), slice(at, at + count), shared


class SharedCounters:
    """Writes to this process's slab and sums over all slabs."""

    def __init__(self, memory: SharedMemory | None = None, index: int = 0) -> None:
        self.memory = memory or SharedMemory.private()
        self._own = self.memory.slab(index)
        self._own.pid = os.getpid()
        self.numbers = self._own.numbers
        self._places = {series: place.start for series, place, _ in self._own.series()}
        self._lock = threading.Lock()
        self.numbers[_USED_NUMBERS] = max(self.numbers[_USED_NUMBERS], _FIRST)

    def place(self, name: str, labels: tuple[str, ...] = (), count: int = 1, *, shared: str = "sum") -> int:
        """Index in `numbers` of the first of the series' `count` consecutive numbers.

        Args:
            shared: How the numbers of several processes are combined: "sum" or "max".

        If the slab is full, the index is that of an unread area: counting never fails a request.
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
        """Set all series of this name to 0, to discard the values of a previous process."""
        for (known, _), place, _ in self._own.series():
            if known == name:
                self.numbers[place.start] = 0.0

    def sums(self) -> dict[Series, list[float]]:
        """Values of every series, combined over all processes."""
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
        """Ids of the processes that own a slab."""
        return [slab.pid for slab in self.memory.slabs() if slab.pid]


def _anonymous_file(size: int) -> int:
    """File descriptor of an unnamed file, in memory if the system supports it."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("stagewright-counters", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor

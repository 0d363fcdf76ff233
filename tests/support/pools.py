"""A pool of processes that are objects: each keeps to the rules of a real one, and waits or fails where a test wants it to."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagewright.components.predictor.models.repository_backend import Catalog, Location
from stagewright.components.predictor.processes.worker_pool import WorkerPool


class Process:
    """A process: `serves` and `staged` hold versions by model, `held` those that are not yet said to be ready.

    Attributes:
        gates: An event by question, such as "stage churn", that it waits for before it does what it is asked.
        faults: An error by question that it answers instead.
    """

    def __init__(self) -> None:
        self.serves: dict[str, str | None] = {}
        self.staged: dict[str, str | None] = {}
        self.expected: set[str] = set()
        self.held: set[str] = set()
        self.asked: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.faults: dict[str, Exception] = {}

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.gates:
            await self.gates[what].wait()
        if what in self.faults:
            raise self.faults[what]

    async def expect(self, name: str) -> None:
        await self._ask(f"expect {name}")
        self.expected.add(name)

    async def stage(self, location: Location) -> str | None:
        await self._ask(f"stage {location.name}")
        self.staged[location.name] = location.version
        return location.version

    async def commit(self, name: str, held: bool) -> None:
        await self._ask(f"commit {name}")
        self.serves[name] = self.staged.pop(name)  # a process that has nothing to put in place has been told wrongly
        self.expected.discard(name)
        if held:
            self.held.add(name)

    async def release(self, name: str) -> None:
        await self._ask(f"release {name}")
        self.held.discard(name)

    async def discard(self, name: str) -> None:
        await self._ask(f"discard {name}")
        self.staged.pop(name, None)

    async def remove(self, name: str) -> None:
        await self._ask(f"remove {name}")
        for models in (self.serves, self.staged):
            models.pop(name, None)
        self.expected.discard(name)
        self.held.discard(name)

    @property
    def has(self) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """What it serves and what stands beside that; nothing may be left held."""
        assert not self.held
        return self.serves, self.staged


def publish(repository: Path, *versions: str, name: str = "churn") -> Path:
    for version in versions:
        folder = repository / name / version
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return repository


class Server:
    """A pool over a repository, with its processes and what it announced."""

    def __init__(self, repository: Path, *, given: tuple[Location, ...] = ()) -> None:
        self.announced: list[tuple[str, str | None]] = []
        self.pool = WorkerPool(Catalog(given, str(repository)), lambda *told: self.announced.append(told))

    async def joined(self, count: int = 1) -> list[Process]:
        members = [Process() for _ in range(count)]
        for member in members:
            await self.pool.join(member)
        return members


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)


async def settled() -> None:
    """Everything that can go on has gone on; the catalog is read in threads."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.message == name]

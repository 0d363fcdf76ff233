"""The worker pool: all serving processes load a version, or none does, and all switch to it together.

A load has two phases. First, every process stages the new version. If all succeed, every process commits it. A failure leaves
the served versions unchanged. Loads and unloads of one model run one after another; those of different models run in parallel,
so a slow load delays no other model.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

from stagewright.components.predictor.inference.run_in_thread import run_in_thread
from stagewright.components.predictor.models.loading import Member
from stagewright.components.predictor.models.repository_backend import Catalog, Location
from stagewright.components.predictor.wire.control import Lost, Refused
from stagewright.components.predictor.wire.errors import LoadFailed, UnknownModel, UnknownVersion
from stagewright.components.predictor.wire.redaction import redacted
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import ServiceUnavailable, StagewrightError

Result = TypeVar("Result")
AT_ONCE = 4  # models of a repository that load in parallel
ENDING = "the server is shutting down; no more models are loaded"


@dataclass(frozen=True, slots=True)
class _Held:
    """A version that every process has loaded."""

    location: Location
    version: str | None


class WorkerPool:
    """The serving processes of a server, and the models that all of them serve.

    Args:
        catalog: Models that may be loaded.
        served: Called with the name and version of every model that starts to serve.
    """

    def __init__(self, catalog: Catalog, served: Callable[[str, str | None], None] = lambda *_: None) -> None:
        self.catalog, self._announce = catalog, served
        self._members: list[Member] = []
        self._served: dict[str, _Held] = {}
        self._staged: dict[str, _Held] = {}
        self._reasons: dict[str, str] = {}
        self._expected: set[str] = set()
        self._given_up: set[Location] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loading: set[asyncio.Task[list[str | None]]] = set()
        self._ended = False

    @property
    def size(self) -> int:
        """Number of processes in the pool."""
        return len(self._members)

    async def join(self, member: Member) -> None:
        """Load the pool's models into a process, then add it to the pool.

        Other operations continue meanwhile. A load that is running includes the process if it has joined by then.

        Raises:
            StagewrightError: If the process cannot load a model.
        """
        there: dict[tuple[str, str], _Held | None] = {}
        while (wanted := self._state()) != there:
            for key in [key for key in there if key not in wanted]:
                del there[key]
                if key[0] != "expected" and key[1] not in {name for _, name in wanted}:
                    await member.remove(key[1])
            for (what, name), held in wanted.items():
                if (what, name) in there and there[what, name] == held:
                    continue
                if held is None:
                    await member.expect(name)
                else:
                    await member.stage(held.location)
                    if what == "served":
                        await member.commit(name, False)
                there[what, name] = held
        self._members.append(member)

    def _state(self) -> dict[tuple[str, str], "_Held | None"]:
        """State that a process must reach: expected, served and staged models."""
        return {
            **{("expected", name): None for name in self._expected - self._served.keys()},
            **{("served", name): held for name, held in self._served.items()},
            **{("staged", name): held for name, held in self._staged.items()},
        }

    def leave(self, member: Member) -> None:
        """Remove a process that has ended."""
        if member in self._members:
            self._members.remove(member)

    async def expect(self, names: Iterable[str]) -> None:
        """Announce models before they are loaded, so that they are not ready instead of unknown."""
        self._expected |= set(names)
        for name in self._expected:
            await self._all(methodcaller("expect", name))

    async def start(self) -> None:
        """Load all models of the catalog.

        Raises:
            StagewrightError: If a model of the command line cannot be loaded. Failures of the repository are only logged.
        """
        given = [asyncio.ensure_future(self._begin(location)) for location in self.catalog.given.values()]
        try:
            await asyncio.gather(*given)
        finally:
            for one in given:
                one.cancel()
        if self.catalog.repository:
            await self.reload(only_new=True)
        self._expected.clear()

    async def _begin(self, location: Location) -> None:
        async with self._locks[location.name]:
            await self._put(location)

    async def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Index of V2's repository extension: name, version, state and reason of each model.

        Raises:
            Refused: If the repository cannot be listed."""
        served = [_entry(name, held.version, "READY", "") for name, held in self._served.items()]
        if ready:
            return sorted(served, key=lambda entry: entry["name"])
        try:
            known = await run_in_thread(self.catalog.names)
        except StagewrightError as error:
            logs.event("repository_unreadable", level=logging.ERROR, error=str(error))
            raise Refused(f"the models cannot be listed: {self._redacted(error)}", 503, error.exit_code) from None
        others = {*known, *self._reasons, *self._expected} - self._served.keys()
        for name in others:
            state = "LOADING" if name in self._expected and name not in self._reasons else "UNAVAILABLE"
            served.append(_entry(name, None, state, self._reasons.get(name, "")))
        return sorted(served, key=lambda entry: entry["name"])

    async def load(self, name: str, version: str | None = None, *, stage: bool = False) -> str | None:
        """Serve a version of a model.

        Args:
            name: Name of the model.
            version: Version; None means the newest.
            stage: Load the version, but serve only requests for it by version. A second load commits it.

        Returns:
            The version that was loaded.

        Raises:
            UnknownModel, UnknownVersion: If the catalog has no such model.
            LoadFailed: If a process could not load it. The served versions are unchanged.
        """
        async with self._locks[name]:
            before = self._served.get(name)
            location: Location | None = None
            try:
                location = await run_in_thread(partial(self.catalog.find, name, version))
                if stage:
                    return (await self._stage(location)).version
                return await self._put(location)
            except UnknownModel:
                raise
            except UnknownVersion:
                serves = before is not None
                raise UnknownVersion(name, version or "", before.version if before else None, serving=serves) from None
            except StagewrightError as error:
                problem = self._redacted(error, location)
                if before is None:
                    self._reasons[name] = problem
                logs.event("load_refused", level=logging.ERROR, model=name, version=version, error=str(error))
                status = getattr(error, "status", 503 if isinstance(error, ServiceUnavailable) else 400)
                serving = None if before is None else before.version or "the one before"
                raise LoadFailed(name, problem, serving, status=status) from error

    async def unload(self, name: str, *, staged: bool = False) -> None:
        """Stop serving a model, or, if `staged`, remove only its staged version.

        Raises:
            UnknownModel: If it is not served, or not staged.
        """
        async with self._locks[name]:
            if name not in (self._staged if staged else self._served):
                raise UnknownModel(name)
            self._staged.pop(name, None)
            if staged:
                await self._all(lambda member: member.discard(name))
                return
            del self._served[name]
            self._reasons[name] = "unloaded"
            await self._all(lambda member: member.remove(name))
        logs.event("model_unloaded", model=name)

    async def reload(self, *, only_new: bool = False) -> None:
        """Load the current versions of the catalog. Unloaded models stay unloaded. Failures are logged.

        Args:
            only_new: Skip versions that are served already, models whose version a request chose, and versions that have
                failed before.
        """
        try:
            names = await run_in_thread(self.catalog.names)
        except StagewrightError as error:
            logs.event("repository_unreadable", level=logging.ERROR, error=str(error))
            return
        at_once = asyncio.Semaphore(AT_ONCE)

        async def refresh(name: str) -> None:
            async with at_once:
                await self._refresh(name, only_new)

        await asyncio.gather(*(refresh(name) for name in names if self._reasons.get(name) != "unloaded"))

    async def watch(self, seconds: float) -> None:
        """Check for new versions periodically, forever."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.reload(only_new=True)
            except Exception:  # noqa: BLE001 - an internal error: logged, and the watch continues
                logs.LOGGER.exception("watch_failed")

    async def _refresh(self, name: str, only_new: bool) -> None:
        async with self._locks[name]:
            location: Location | None = None
            before = self._served.get(name)
            if only_new and before is not None and before.location.chosen:
                return
            try:
                location = await run_in_thread(partial(self.catalog.find, name))
                if only_new and (location in self._given_up or (before is not None and before.location == location)):
                    return
                await self._put(location)
            except StagewrightError as error:
                if location is not None:
                    self._given_up.add(location)
                if before is None:
                    self._reasons[name] = self._redacted(error, location)
                    self._expected.discard(name)
                    await self._all(lambda member: member.remove(name))
                logs.event(
                    "load_failed", level=logging.ERROR, model=name, error=str(error), serving=before.version if before else None
                )

    def _redacted(self, error: StagewrightError, location: Location | None = None) -> str:
        """An error's sentence without paths and addresses, for callers."""
        return redacted(str(error), location.uri if location else "", self.catalog.repository or "")

    async def _put(self, location: Location) -> str | None:
        """Stage a version in every process, unless it is staged already, and commit it in all of them."""
        name = location.name
        held = self._staged.get(name)
        if held is None or held.location != location:
            held = await self._stage(location)
        together = len(self._members) > 1
        # Before the first await, so that a process that joins from here on loads this version.
        self._staged.pop(name, None)
        self._served[name] = held
        await self._all(lambda member: member.commit(name, together))
        if together:
            await self._all(lambda member: member.release(name))
        self._reasons.pop(name, None)
        self._announce(name, held.version)
        return held.version

    async def _stage(self, location: Location) -> _Held:
        self._staged.pop(location.name, None)
        versions: list[str | None] = []
        done: list[Member] = []
        try:
            while missing := [member for member in self._members if member not in done]:  # processes may join meanwhile
                versions += await self._stage_on(missing, location)
                done += missing
        except BaseException:
            await self._all(lambda member: member.discard(location.name))
            raise
        if not versions:
            raise ServiceUnavailable("no worker is running to load a model; try again soon")
        held = self._staged[location.name] = _Held(location, versions[0])
        return held

    async def _stage_on(self, members: list[Member], location: Location) -> list[str | None]:
        if self._ended:
            raise ServiceUnavailable(ENDING)
        task = asyncio.ensure_future(self._all(lambda member: member.stage(location), members))
        self._loading.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self._ended:
                raise ServiceUnavailable(ENDING) from None
            raise
        finally:
            self._loading.discard(task)

    def end(self) -> None:
        """Cancel running loads and refuse further ones, because the server is shutting down."""
        self._ended = True
        for task in self._loading:
            task.cancel()

    async def _all(self, do: Callable[[Member], Awaitable[Result]], members: Iterable[Member] | None = None) -> list[Result]:
        """Run the same operation in every process. A process that ends is ignored; its successor loads the same state.

        Raises:
            StagewrightError: The first error of a process, after all have finished.
        """
        done = await asyncio.gather(
            *(do(member) for member in (self._members if members is None else members)), return_exceptions=True
        )
        failures = [result for result in done if isinstance(result, BaseException) and not isinstance(result, Lost)]
        if failures:
            raise failures[0]
        return [result for result in done if not isinstance(result, BaseException)]


def _entry(name: str, version: str | None, state: str, reason: str) -> dict[str, Any]:
    return {"name": name, **({"version": version} if version else {}), "state": state, "reason": reason}

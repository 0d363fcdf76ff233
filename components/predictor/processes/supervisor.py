"""The supervisor: starts workers that share one socket, keeps their models the same, replaces dead workers, ends all together.

The supervisor also ends a worker that hangs. No probe would find it, because the other workers accept all new connections. Its
own connections would wait forever, and so would every load of a model, which needs all workers.

The supervisor itself serves no request. Each worker is a new program at the other end of a channel. It inherits the listening
socket and the shared memory of the counters. There is no fork, so ONNX Runtime's threads are safe.
"""

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from typing import Any

from stagewright.components.predictor.liveness import LIVENESS_TIMEOUT_SECONDS
from stagewright.components.predictor.models.repository_backend import Location
from stagewright.components.predictor.processes.worker_pool import WorkerPool
from stagewright.components.predictor.telemetry.counters import SharedMemory
from stagewright.components.predictor.wire.control import Channel
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError

MODULE = "stagewright.components.predictor.processes.supervised"
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 10.0  # delay before a worker is restarted; doubles if it ends soon
LONG_LIFE_SECONDS = 30.0
MOST_FAILURES = 3  # consecutive failures of a worker that never served; the supervisor then gives up
LOOK_SECONDS = 1.0  # between two liveness checks of a worker


class RemoteWorker:
    """Member for a worker at the other end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def expect(self, name: str) -> None:
        await self.channel.request("expect", name=name)

    async def stage(self, location: Location) -> str | None:
        version: str | None = await self.channel.request("stage", location=location.to_dict())
        return version

    async def commit(self, name: str, held: bool) -> None:
        await self.channel.request("commit", name=name, held=held)

    async def release(self, name: str) -> None:
        await self.channel.request("release", name=name)

    async def discard(self, name: str) -> None:
        await self.channel.request("discard", name=name)

    async def remove(self, name: str) -> None:
        await self.channel.request("remove", name=name)


class Supervisor:
    """The workers of a server.

    Args:
        workers: Number of workers.
        arguments: Command line of the workers.
        listener: Listening socket that the workers share.
        pool: Keeps the models of all workers the same.
        grace: Seconds that a worker has to shut down.
        liveness_timeout: Seconds after which a worker that does not reply is replaced.
    """

    def __init__(
        self, *, workers: int, arguments: tuple[str, ...], listener: socket.socket, pool: WorkerPool, grace: float,
        liveness_timeout: float = LIVENESS_TIMEOUT_SECONDS,
    ) -> None:  # fmt: skip
        self._liveness_timeout = liveness_timeout
        self._count, self._arguments, self._listener, self._pool, self._grace = workers, arguments, listener, pool, grace
        self._memory = SharedMemory(workers)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ending, self._reload_requested = asyncio.Event(), asyncio.Event()
        self._started = False
        self._accepted: set[int] = set()  # indexes of workers that have served

    async def run(self, names: list[str], watch: float | None) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            names: Models that will be loaded.
            watch: Seconds between checks for new versions; None never checks.

        Raises:
            StagewrightError: If a model of the command line cannot be loaded, or a worker ends before it serves.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_requested.set)
        await self._pool.expect(names)
        keepers = [loop.create_task(self._keep(index)) for index in range(self._count)]
        beginning = loop.create_task(self._begin(watch))
        ending = loop.create_task(self._ending.wait())
        try:
            # A keeper task runs until the shutdown; one that ends earlier has failed.
            await asyncio.wait([*keepers, beginning, ending], return_when=asyncio.FIRST_COMPLETED)
            if beginning.done() and not ending.done() and beginning.exception() is None:
                await asyncio.wait([*keepers, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ending.set()
            beginning.cancel()
            self._listener.close()
            await self._end()
        said = await asyncio.gather(beginning, *keepers, return_exceptions=True)
        for error in said:
            if isinstance(error, Exception):
                raise error

    async def _begin(self, watch: float | None) -> None:
        """Load every model once all workers have joined, then handle reloads and watch the repository."""
        while self._pool.size < self._count:
            await asyncio.sleep(0.01)
        await self._pool.start()
        self._started = True
        await asyncio.gather(self._reload_on_request(), *([] if watch is None else [self._pool.watch(watch)]))

    async def _reload_on_request(self) -> None:
        """Reload on SIGHUP. A signal during the first loading is handled afterwards."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            try:
                await self._pool.reload()
            except Exception:  # noqa: BLE001 - an internal error: logged, and the server continues
                logs.LOGGER.exception("reload_failed")

    async def _keep(self, index: int) -> None:
        """Run a worker, and restart it when it ends."""
        wait, failures = FIRST_WAIT_SECONDS, 0
        while not self._ending.is_set():
            began = time.monotonic()
            code = await self._live(index)
            self._memory.slab(index).pid = 0
            if self._ending.is_set():
                return
            failures = 0 if index in self._accepted else failures + 1
            if failures == MOST_FAILURES:
                raise ServiceUnavailable(f"a worker ended with exit code {code} before it served; see the server log")
            wait = FIRST_WAIT_SECONDS if time.monotonic() - began > LONG_LIFE_SECONDS else min(wait * 2, LONGEST_WAIT_SECONDS)
            logs.event("worker_ended", level=logging.ERROR, worker=index, exit_code=code, next_in_seconds=wait)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), wait)

    async def _live(self, index: int) -> int:
        """Run one worker process until it ends; return its exit code."""
        ours, theirs = socket.socketpair()
        handed = (theirs.fileno(), self._listener.fileno(), self._memory.descriptor)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, *map(str, (*handed, index, self._count)), *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, pass_fds=handed,
            )  # fmt: skip
        self._processes[index] = process
        if self._ending.is_set():
            process.terminate()
        channel = await Channel.over(ours, self._answer)
        loop = asyncio.get_running_loop()
        receiving, watching = loop.create_task(channel.run()), loop.create_task(self._watch(channel, index, process))
        member = RemoteWorker(channel)
        try:
            await self._admit(member, index, process)
            return await process.wait()
        finally:
            watching.cancel()
            self._pool.leave(member)
            channel.close()
            await receiving

    async def _watch(self, channel: Channel, index: int, process: asyncio.subprocess.Process) -> None:
        """Check a worker's liveness repeatedly from its start, and kill it if it does not reply in time."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            answer = asyncio.ensure_future(channel.request("live"))
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # mark the exception as retrieved
            try:
                # Many short waits: if the supervisor itself is stopped, that time does not count.
                for _ in range(ceil(self._liveness_timeout / LOOK_SECONDS)):
                    if (await asyncio.wait([answer], timeout=LOOK_SECONDS))[0]:
                        break
                else:
                    logs.event(
                        "worker_silent", level=logging.ERROR, worker=index, pid=process.pid, limit=self._liveness_timeout
                    )
                    with suppress(ProcessLookupError):
                        process.kill()
                    return
            finally:
                answer.cancel()
            if answer.exception() is not None:  # the worker has ended
                return

    async def _admit(self, member: RemoteWorker, index: int, process: asyncio.subprocess.Process) -> None:
        """Load the models of the other workers into a new worker, then let it accept connections."""
        try:
            await self._pool.join(member)
            await member.channel.request("accept")
            self._accepted.add(index)
        except StagewrightError as error:
            if not self._ending.is_set():
                logs.event("worker_failed", level=logging.ERROR, worker=index, error=str(error))
            with suppress(ProcessLookupError):
                process.kill()
            return
        if self._started:
            logs.event("worker_replaced", worker=index, pid=process.pid)

    async def _answer(self, what: str, details: dict[str, Any]) -> Any:
        """Handle a worker's request for an operation on models."""
        actions: dict[str, Callable[..., Awaitable[Any]]] = {
            "index": self._pool.index, "load": self._pool.load, "unload": self._pool.unload,
        }  # fmt: skip
        if what not in actions:
            raise InputError(f"the supervisor does not know '{what}'")
        return await actions[what](**details)

    async def _end(self) -> None:
        """End every worker: SIGTERM first, SIGKILL after the grace period."""
        self._pool.end()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.send_signal(number)
            waiting = [asyncio.ensure_future(process.wait()) for process in self._processes.values()]
            if not waiting or not (await asyncio.wait(waiting, timeout=self._grace))[1]:
                return

"""A worker: `python -m ...processes.supervised CHANNEL LISTENER COUNTERS INDEX WORKERS ...`, started by the supervisor."""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from stagewright.components.predictor.arguments import parse
from stagewright.components.predictor.http.graceful import GracefulServer
from stagewright.components.predictor.http.repository_api import RepositoryApi
from stagewright.components.predictor.models.loading import Loader
from stagewright.components.predictor.processes import process
from stagewright.components.predictor.telemetry.counters import SharedCounters, SharedMemory
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.control import Channel
from stagewright.components.runtime import logs


class SupervisorClient:
    """Operations on models that this worker requests from the supervisor, which does them for all workers."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        found: list[dict[str, str]] = await self._channel.request("index", ready=ready)
        return found

    async def load(self, name: str, version: str | None = None, *, stage: bool = False) -> str | None:
        loaded: str | None = await self._channel.request("load", name=name, version=version, stage=stage)
        return loaded

    async def unload(self, name: str, *, staged: bool = False) -> None:
        await self._channel.request("unload", name=name, staged=staged)


def main(arguments: Sequence[str]) -> int:
    """Run a worker until SIGTERM, or until the supervisor ends."""
    logs.configure()
    channel_end, listening, memory, index, workers = map(int, arguments[:5])
    settings = parse(arguments[5:])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor handles it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it reaches the supervisor too, which ends its workers
    metrics = Metrics(SharedCounters(SharedMemory(workers, memory), index))
    application = process.make_application(settings, metrics)
    loader = Loader(application.models, settings)
    accepting = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def answer(what: str, details: dict[str, Any]) -> Any:
        if what == "live":  # the reply itself is the sign of life
            return None
        if what == "accept":
            accepting.set()
            return None
        return await loader.handle(what, details)

    async def connect() -> None:
        channel = await Channel.over(socket.socket(fileno=channel_end), answer)
        application.repository_api = RepositoryApi(SupervisorClient(channel), changes=settings.repository_api)

        async def listen() -> None:
            await channel.run()
            server.should_exit = True  # without a supervisor, the worker must not serve
            accepting.set()

        tasks.append(asyncio.get_running_loop().create_task(listen()))
        await accepting.wait()

    server: GracefulServer = process.make_server(settings, application, before=connect)
    server.run([socket.socket(fileno=listening)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

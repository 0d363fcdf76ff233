"""The lifecycle of the server: bind the port, load the models, serve, shut down gracefully.

The port is bound first, so that a port in use is an error before a large model is read. Models load in threads: liveness
answers from the start, readiness once all models are loaded.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from stagewright.components.predictor import liveness, model_source
from stagewright.components.predictor.grpc import option as grpc_option
from stagewright.components.predictor.http import connections
from stagewright.components.predictor.http.graceful import GracefulServer
from stagewright.components.predictor.http.repository_api import RepositoryApi
from stagewright.components.predictor.inference import run_in_thread
from stagewright.components.predictor.models.loading import Loader
from stagewright.components.predictor.models.repository_backend import Catalog, Location
from stagewright.components.predictor.processes import process
from stagewright.components.predictor.processes.supervisor import Supervisor
from stagewright.components.predictor.processes.worker_pool import WorkerPool
from stagewright.components.predictor.settings import Settings
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import BadParameter


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: If the port is in use or a model cannot be loaded.
        ServiceUnavailable: If the object store does not answer.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # reloads models later; until then it must not end the process
    started = time.perf_counter()
    connections.raise_descriptors()
    listener = process.bind(settings.host, settings.port)
    settings, _reserved = grpc_option.reserve(settings)
    catalog = catalog_of(settings)
    names = catalog.names()
    if settings.repository:
        logs.event("repository_opened", repository=settings.repository, models=len(names), **_address(listener))
    run = _serve_alone if settings.workers == 1 else _serve_together
    run(settings, listener, WorkerPool(catalog, _announcer(settings, listener, started)), names)


def catalog_of(settings: Settings) -> Catalog:
    """The catalog of models that may be loaded. A model without a name gets the manifest's.

    Raises:
        InputError: If a location has no model, or two models have the same name.
        ServiceUnavailable: If the object store does not answer.
    """
    alone = len(settings.models) == 1
    given = [
        Location(name or model_source.manifest_name(uri) or "model", uri, settings.version if alone else None)
        for name, uri in settings.models
    ]  # fmt: skip
    catalog = Catalog(given, settings.repository)
    if len(catalog.given) < len(given):
        raise BadParameter("model", got=[location.name for location in given], expected="a different name for every model")
    return catalog


def _serve_alone(settings: Settings, listener: socket.socket, pool: WorkerPool, names: list[str]) -> None:
    application = process.make_application(settings)
    application.repository_api = RepositoryApi(pool, changes=settings.repository_api)
    failures: list[Exception] = []
    tasks: set[asyncio.Task[None]] = set()

    def begin(work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def load_all() -> None:
        try:
            await pool.start()
            if settings.watch is not None:
                await pool.watch(settings.watch)
        except Exception as error:  # noqa: BLE001 - raised again after the server has shut down
            failures.append(error)
            server.should_exit = True

    async def before() -> None:
        await pool.join(Loader(application.models, settings))
        await pool.expect(names)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: begin(pool.reload()))
        begin(load_all())

    server: GracefulServer = process.make_server(settings, application, before=before)
    server.ending = pool.end
    server.run([listener])
    if failures:
        raise failures[0]


def _serve_together(settings: Settings, listener: socket.socket, pool: WorkerPool, names: list[str]) -> None:
    ports = ["--port", str(listener.getsockname()[1])]
    ports += [] if settings.grpc_port is None else ["--grpc-port", str(settings.grpc_port)]
    supervisor = Supervisor(
        workers=settings.workers, arguments=(*settings.arguments, *ports), listener=listener, pool=pool,
        grace=process.GRACE_SECONDS + process.END_SECONDS, liveness_timeout=liveness.liveness_timeout(),
    )  # fmt: skip
    asyncio.run(supervisor.run(names, settings.watch))


def _announcer(settings: Settings, listener: socket.socket, started: float) -> Callable[[str, str | None], None]:
    address = _address(listener) | ({} if settings.grpc_port is None else {"grpc_port": settings.grpc_port})

    def announce(name: str, version: str | None) -> None:
        logs.event("model_served", model=name, version=version, **address, seconds=round(time.perf_counter() - started, 3))

    return announce


def _address(listener: socket.socket) -> dict[str, Any]:
    host, port = listener.getsockname()[:2]
    return {"host": host, "port": port, "pid": os.getpid()}


def _end(*_: object) -> NoReturn:
    """Handle SIGTERM before the server listens and after it has shut down."""
    run_in_thread.end(0)

"""The life of the process: take the port, load the model, serve, finish what was begun.

The port is taken first and the model loads beside the event loop: liveness answers from the start, readiness once the model is
there, and a port that is taken is known before a large model was read.
"""

import errno
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import NoReturn

import uvicorn

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import BadParameter, InputError, StagewrightError
from stagewright.components.serving.predictor import cpu, source
from stagewright.components.serving.predictor.app import Application
from stagewright.components.serving.predictor.arguments import Settings
from stagewright.components.serving.predictor.model import OnnxModel
from stagewright.components.serving.predictor.source import ModelFiles

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than proxies and client pools wait, so that it is not us who cut a request off
GRACE_SECONDS = 25  # below Kubernetes' 30, after which the process would be killed
STARTUP_FAILURE = 3  # uvicorn's: a worker that ends so is not started again


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: If the port or the model cannot be used.
        ServiceUnavailable: If the object store does not answer.
    """
    signal.signal(signal.SIGTERM, _end)
    listener = bind(settings.host, settings.port)
    if settings.workers == 1:
        _serve_alone(settings, listener)
    else:
        _serve_together(settings, listener)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on this address.

    Raises:
        InputError: If the port is taken or the address is not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on a request waits for its answer instead of being refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is taken on {host}; end what listens there or choose another with --port") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} needs rights that this process does not have; choose one above 1023") from None
        raise BadParameter("host", got=host, expected=f"an address of this machine ({error.strerror})") from None
    return listener


def load(settings: Settings, files: ModelFiles) -> OnnxModel:
    """The model of these settings, named and versioned."""
    name = settings.name or files.name or "model"
    return OnnxModel.load(files, name, version=settings.version, threads=settings.threads)


def make_application(settings: Settings, name: str) -> Application:
    """An application without a model yet."""
    return Application(name, limits=settings.limits, workers=max(2, cpu.available()))


def _serve_alone(settings: Settings, listener: socket.socket) -> None:
    started = time.perf_counter()
    failures: list[StagewrightError] = []
    # Without a name the manifest has to be read before the first path is known.
    files = None if settings.name else source.read(settings.model)
    application = make_application(settings, settings.name or (files and files.name) or "model")
    server = uvicorn.Server(_configuration(settings, application))

    def load_model() -> None:
        try:
            model = load(settings, files or source.read(settings.model))
            application.models.serve(model)
            _announce(model, listener, started)
        except StagewrightError as error:
            failures.append(error)
            server.should_exit = True
        except BaseException:
            server.should_exit = True
            raise

    threading.Thread(target=load_model, name="load", daemon=True).start()
    server.run([listener])
    if failures:
        raise failures[0]
    if not application.models.ready:
        sys.exit(1)


def _serve_together(settings: Settings, listener: socket.socket) -> None:
    """Several processes on one socket; the model is tried here first, so that what is wrong with it is said once."""
    started = time.perf_counter()
    model = load(settings, source.read(settings.model))
    configuration = _configuration(settings, partial(_make_worker, settings), workers=settings.workers)
    from uvicorn.supervisors import Multiprocess

    _announce(model, listener, started)
    del model
    Multiprocess(configuration, sockets=[listener]).run()


def _make_worker(settings: Settings) -> Application:
    logs.configure()
    try:
        model = load(settings, source.read(settings.model))
    except StagewrightError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(STARTUP_FAILURE)
    application = make_application(settings, model.name)
    application.models.serve(model)
    return application


def _configuration(settings: Settings, application: object, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # type: ignore[arg-type]
        factory=workers > 1, workers=workers, lifespan="on", ws="none", interface="asgi3",
        access_log=False, log_level="error", log_config=None, server_header=False, date_header=False, proxy_headers=False,
        backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def _announce(model: OnnxModel, listener: socket.socket, started: float) -> None:
    host, port = listener.getsockname()[:2]
    logs.event(
        "model_served", model=model.name, version=model.version, host=host, port=port, pid=os.getpid(),
        seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _end(*_: object) -> NoReturn:
    """SIGTERM before the server listens, and again after it has finished: an orderly end either way."""
    sys.exit(0)

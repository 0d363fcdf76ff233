"""The server as a plain ASGI callable: routes to the protocols, counts, and turns errors into answers.

A prediction has three parts: decode (pure), infer (the only await), encode (pure). Small bodies are decoded on the event loop,
where they cost microseconds; large ones beside it. Inference never runs on the loop, so health answers while a model computes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from time import perf_counter
from typing import TypeVar

from stagewright.components.runtime import logs
from stagewright.components.serving.predictor import routes, v1, v2
from stagewright.components.serving.predictor.asgi import (
    Disconnected,
    Receive,
    Scope,
    Send,
    error_headers,
    header,
    read_body,
    send_answer,
)  # fmt: skip
from stagewright.components.serving.predictor.errors import ModelNotReady, RequestError
from stagewright.components.serving.predictor.messages import Answer, json_answer
from stagewright.components.serving.predictor.metrics import Metrics
from stagewright.components.serving.predictor.repository import Repository, Served
from stagewright.components.serving.predictor.routes import Route

Result = TypeVar("Result")

LARGE_BODY = 64 * 1024  # bytes; decoding less takes well under a millisecond
LARGE_ANSWER = 2000  # rows


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold."""

    body_bytes: int = 64 * 1024 * 1024
    rows: int = 100_000


class Application:
    """Models, their protocols and their metrics.

    Args:
        names: The models to come; until they are there, they are known but not ready.
        limits: What one request may hold.
        workers: Inferences that may run at once.
    """

    def __init__(self, *names: str, limits: Limits | None = None, workers: int = 2) -> None:
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self.models = Repository(names, pool=self._pool, metrics=self.metrics)
        self._actions: dict[str, Callable[[Route], Answer]] = {
            "alive": lambda _: json_answer({"status": "alive"}),
            "live": lambda _: json_answer({"live": True}),
            "ready": lambda _: json_answer({"ready": self.models.ready}, 200 if self.models.ready else ModelNotReady.status),
            "server": lambda _: json_answer({"name": "stagewright", "version": _version(), "extensions": v2.EXTENSIONS}),
            "models": lambda _: json_answer({"models": self.models.names}),
            "model_status": lambda route: json_answer({"name": self._find(route).model.name, "ready": True}),
            "model_ready": lambda route: json_answer({"name": self._find(route).model.name, "ready": True}),
            "metadata": lambda route: json_answer(v2.metadata(self._find(route).model)),
            "metrics": lambda _: self.metrics.answer(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        route: Route | None = None
        self.metrics.in_flight.inc()
        try:
            route = routes.find(scope["method"], scope["path"])
            answer = await self._answer(route, scope, receive)
        except RequestError as error:
            answer = json_answer({"error": str(error)}, error.status)._replace(headers=error_headers(error))
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - a defect of ours: logged with its traceback, answered without it
            logs.LOGGER.exception("request_failed", extra={"fields": {"path": scope["path"], "error": str(error)}})
            answer = json_answer({"error": "the model could not answer; the server's log says why"}, 500)
        finally:
            self.metrics.in_flight.dec()
        await send_answer(send, answer)
        # Probes and questions about the model are many, fast, and 503 while it loads: they would hide what predictions do.
        predicted = route.model if route and route.methods is routes.SEND else None
        model = predicted if predicted and predicted in self.models.names else ""
        self.metrics.answered(model, route.protocol if route else "", answer.status, perf_counter() - started)

    async def _answer(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        if route.methods is not routes.SEND:
            return self._actions[route.action](route)
        served = self._find(route)
        body = await read_body(scope["headers"], receive, self.limits.body_bytes)
        if route.action == "predict":
            return await self._predict(served, body)
        return await self._infer(served, body, header(scope["headers"], v2.HEADER_LENGTH))

    async def _predict(self, served: Served, body: bytes) -> Answer:
        model = served.model
        decode = partial(v1.decode, model.columns, body, max_rows=self.limits.rows)
        feeds, rows = await self._beside(len(body) > LARGE_BODY, decode)
        outputs = await served.batcher.run(feeds, rows)
        return await self._beside(rows > LARGE_ANSWER, partial(v1.encode, model, outputs))

    async def _infer(self, served: Served, body: bytes, header_length: bytes | None) -> Answer:
        model = served.model
        decode = partial(v2.decode, model.columns, model.outputs, body, header_length, max_rows=self.limits.rows)
        request = await self._beside(len(body) > LARGE_BODY, decode)
        outputs = await served.batcher.run(request.feeds, request.rows)
        return await self._beside(request.rows > LARGE_ANSWER, partial(v2.encode, model, request, outputs))

    async def _beside(self, large: bool, work: Callable[[], Result]) -> Result:
        """Do the work here if it is small, beside the event loop if it is large."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work) if large else work()

    def _find(self, route: Route) -> Served:
        return self.models.find(route.model or "", route.version)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._pool.shutdown(wait=False)
                return


def _version() -> str:
    with suppress(PackageNotFoundError):
        return package_version("stagewright")
    return "0"

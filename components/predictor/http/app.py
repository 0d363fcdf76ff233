"""The server as an ASGI application: routes requests to the protocols, counts them, and turns errors into responses.

Small bodies are decoded on the event loop, which takes microseconds; large ones in a thread. Inferences run in threads, except
those that take less time than a switch to a thread. So health requests are answered while a model computes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from time import perf_counter

from stagewright.components.predictor.http import descriptions, routes
from stagewright.components.predictor.http.browsers import Guard
from stagewright.components.predictor.http.repository_api import Fixed, RepositoryApi
from stagewright.components.predictor.http.routes import Route
from stagewright.components.predictor.models.repository import Repository, Served
from stagewright.components.predictor.payload.opening import open_payload_log
from stagewright.components.predictor.payload.settings import PayloadSettings
from stagewright.components.predictor.protocol import triton, v2
from stagewright.components.predictor.protocol.predictions import Predictions
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.asgi import (  # fmt: skip
    Receive,
    Scope,
    Send,
    error_headers,
    known_headers,
    read_body,
    send_answer,
)
from stagewright.components.predictor.wire.errors import Disconnected, ModelNotReady, NoExplainer, RequestError
from stagewright.components.predictor.wire.limits import Limits
from stagewright.components.predictor.wire.messages import Answer, json_answer
from stagewright.components.runtime import logs

PREDICTING = frozenset(("predict", "infer"))  # actions of routes
SUCCESS = 200


class Application:
    """The server's models, protocols and metrics.

    Args:
        names: Models that will be loaded. Until then they are known but not ready.
        limits: Limits of requests and connections.
        workers: Number of threads for inferences.
        metrics: Metrics of the server; by default private to this process.
        payload: Settings of the payload log; None disables it.
        guard: Refuses requests of foreign web pages.

    Attributes:
        repository_api: V2's model repository extension.
    """

    def __init__(
        self, *names: str, limits: Limits | None = None, workers: int = 2, metrics: Metrics | None = None,
        payload: PayloadSettings | None = None, guard: Guard | None = None,
    ) -> None:  # fmt: skip
        self.limits, self._guard = limits or Limits(), guard or Guard()
        self.metrics = metrics or Metrics()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self.payloads = open_payload_log(payload, self.metrics)
        self._predictions = Predictions(self.limits, self._pool, self.metrics, self.payloads)
        self.models = Repository(names, pool=self._pool, metrics=self.metrics, bounds=self.limits.bounds)
        self.repository_api = RepositoryApi(Fixed(self.models))
        self._actions: dict[str, Callable[[Route], Answer]] = {
            "alive": lambda _: json_answer({"status": "alive"}),
            "live": lambda _: json_answer({"live": True}),
            "ready": lambda _: json_answer({"ready": self.models.ready}, 200 if self.models.ready else ModelNotReady.status),
            "server": lambda _: json_answer(
                {"name": "stagewright", "version": _version(), "extensions": [*v2.EXTENSIONS, *triton.EXTENSIONS]}
            ),
            "models": lambda _: json_answer({"models": self.models.names}),
            "model_status": lambda route: json_answer({"name": self._find(route).model.name, "ready": True}),
            "model_ready": lambda route: json_answer({"name": self._find_ready(route).model.name, "ready": True}),
            "metadata": lambda route: json_answer(v2.metadata(self._find(route).model)),
            "explain": self._explain,
            "metrics": lambda _: self.metrics.exposition(),
        }
        self._actions |= descriptions.actions(self.models, self.metrics, version=_version(), max_rows=self.limits.rows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        if scope["type"] != "http":
            return
        started = perf_counter()
        route: Route | None = None
        self.metrics.in_flight.inc()
        try:
            route = scope.get("route") or routes.find(scope["method"], _path(scope))
            self._guard.check(route, scope["headers"])
            if route.action in PREDICTING:
                answer = await self._predictions.predict(self._find(route), route.action, scope, receive)
            else:
                answer = await self._answer(route, scope, receive)
        except RequestError as error:
            answer = json_answer({"error": str(error)}, error.status)._replace(headers=error_headers(error))
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - an internal error: the traceback is logged, not sent
            logs.LOGGER.exception("request_failed", extra={"fields": {"path": scope["path"], "error": str(error)}})
            answer = json_answer({"error": "prediction failed; see the server log"}, 500)
        finally:
            self.metrics.in_flight.dec()
        await send_answer(send, answer)
        # Probes are frequent, fast, and 503 while a model loads. Counted with predictions, they would distort the metrics.
        predicted = (route.model or "") if route and route.methods is routes.SEND else ""
        model = predicted if answer.status == SUCCESS or predicted in self.models.names else ""
        seconds = perf_counter() - started
        self.metrics.answered(model, route.protocol if route else "", answer.status, seconds)
        if model and answer.status != SUCCESS:
            self.metrics.failed(model, seconds)

    async def _answer(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        if route.protocol == "repository":
            memory = self._predictions.memory
            body = await read_body(known_headers(scope["headers"]), receive, self.limits.body_bytes, memory)
            memory.release(len(body))
            return await self.repository_api.handle(route.action, route.model or "", body)
        return self._actions[route.action](route)

    def _find(self, route: Route) -> Served:
        return self.models.find(route.model or "", route.version)

    def _explain(self, route: Route) -> Answer:
        raise NoExplainer(self._find(route).model.name)

    def _find_ready(self, route: Route) -> Served:
        return self.models.find_ready(route.model or "", route.version)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self.payloads is not None:
                await asyncio.to_thread(self.payloads.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._pool.shutdown(wait=False)
                self.models.close()
                return


def _path(scope: Scope) -> str:
    """The undecoded path: decoded, an escaped slash in a name would look like a separator."""
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.decode("latin-1")
    return path


def _version() -> str:
    with suppress(PackageNotFoundError):
        return package_version("stagewright")
    return "0"

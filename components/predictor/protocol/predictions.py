"""Processing of a prediction: decode the request, infer in a batch, encode the response.

Small bodies are decoded on the event loop, which takes microseconds; large ones in a thread.
"""

from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from stagewright.components.predictor.models.repository import Served
from stagewright.components.predictor.protocol import cloudevents, v1, v2, v2_outputs
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.asgi import (  # fmt: skip
    HEADER_LENGTH,
    REQUEST_ID,
    SMALL_BODY,
    MemoryBudget,
    Receive,
    Scope,
    known_headers,
    read_body,
    timeout_seconds,
)
from stagewright.components.predictor.wire.limits import Limits
from stagewright.components.predictor.wire.messages import Answer

if TYPE_CHECKING:
    from stagewright.components.predictor.payload.log import PayloadLog

Result = TypeVar("Result")

LARGE_ANSWER = 2000  # rows


class Predictions:
    """Handler of prediction requests.

    Args:
        limits: Limits of requests.
        pool: Threads for work that would block the event loop.
        metrics: Records the duration of each part of a prediction.
        payloads: The payload log; None if it is disabled.
    """

    def __init__(
        self, limits: Limits, pool: ThreadPoolExecutor, metrics: Metrics, payloads: "PayloadLog | None" = None
    ) -> None:
        self.limits, self.memory = limits, MemoryBudget(limits.held_bytes)
        self._pool, self._metrics, self._payloads = pool, metrics, payloads

    async def predict(self, served: Served, action: str, scope: Scope, receive: Receive) -> Answer:
        """Handle one prediction request.

        Args:
            served: The model.
            action: "predict" for V1, "infer" for V2.
            scope: ASGI scope of the request.
            receive: ASGI receive callable.

        Raises:
            RequestError: If the request is invalid or cannot be answered.
            Disconnected: If the client disconnected.
        """
        served.batcher.check_room()  # before the body is read, so that a refusal is cheap under overload
        started, headers = perf_counter(), known_headers(scope["headers"])
        now = get_running_loop().time()
        timeout = timeout_seconds(headers, self.limits.timeout_seconds)
        deadline = None if timeout is None else now + timeout
        event = None
        if cloudevents.SPECVERSION in headers or b"cloudevents" in headers.get(cloudevents.CONTENT_TYPE, b"").lower():
            event = cloudevents.mode(headers, structured=action == "predict")
        body = await read_body(headers, receive, self.limits.body_bytes, self.memory)
        size = len(body)
        try:
            if event == "structured":
                body = cloudevents.data(body)
            predict = self._infer if action == "infer" else self._predict
            answer = await predict(served, body, headers, deadline, receive, started)
            return answer if event is None else cloudevents.sealed(event, served.model.name, answer)
        finally:
            self.memory.release(size)

    async def _predict(
        self, served: Served, body: bytes, headers: Mapping[bytes, bytes], deadline: float | None, receive: Receive,
        started: float,
    ) -> Answer:  # fmt: skip
        model = served.model
        if len(body) > SMALL_BODY:
            given = await self._run_in_pool(partial(v1.decode, model.columns, body, max_rows=self.limits.rows))
        else:
            given = v1.decode(model.columns, body, max_rows=self.limits.rows)
        waiting = perf_counter()
        result = await served.batcher.predict(given, deadline, receive)
        large = given.rows > LARGE_ANSWER
        answer = await self._run_in_pool(partial(v1.encode, model, result)) if large else v1.encode(model, result)
        self._metrics.inferred(model.name, started, waiting, result.batch.moments, perf_counter())
        if self._payloads is not None:
            return self._payloads.log_answer(answer, model, result, None, headers.get(REQUEST_ID), len(body), started)
        return answer

    async def _infer(
        self, served: Served, body: bytes, headers: Mapping[bytes, bytes], deadline: float | None, receive: Receive,
        started: float,
    ) -> Answer:  # fmt: skip
        model, length = served.model, headers.get(HEADER_LENGTH)
        decode = partial(v2.decode, model.columns, model.outputs, body, length, max_rows=self.limits.rows)
        request = await self._run_in_pool(decode) if len(body) > SMALL_BODY else decode()
        if request.timeout is not None:
            own = get_running_loop().time() + request.timeout
            deadline = own if deadline is None else min(deadline, own)
        waiting = perf_counter()
        result = await served.batcher.predict(request.batch_input, deadline, receive)
        encode = partial(v2_outputs.encode, model, request.outputs, request.id, result)
        answer = await self._run_in_pool(encode) if request.batch_input.rows > LARGE_ANSWER else encode()
        self._metrics.inferred(model.name, started, waiting, result.batch.moments, perf_counter())
        if self._payloads is not None:
            return self._payloads.log_answer(answer, model, result, request.id, headers.get(REQUEST_ID), len(body), started)
        return answer

    async def _run_in_pool(self, work: Callable[[], Result]) -> Result:
        """Run work in a thread that would block the event loop."""
        return await get_running_loop().run_in_executor(self._pool, work)

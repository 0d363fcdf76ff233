"""Concurrent requests to an application in this process, from clients that stay until they are answered."""

import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stagewright.components.predictor import model_source
from stagewright.components.predictor.http.app import Application
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.wire.limits import Bounds, Limits
from support.asgi_client import Reply

V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"


class Watched:
    """A real model that notes each inference, and waits with it while it is held."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self._model = OnnxModel.load(model_source.read(str(folder)), "churn", version="v1.2.3", overrides=settings)
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self.rows: list[int] = []
        self.threads: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def run(self, feeds: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.rows.append(len(next(iter(feeds.values()))))
        self.threads.append(threading.get_ident())
        self.begun.release()
        assert self.free.wait(30)
        return self._model.run(feeds)


def application(model: Any, *, workers: int = 1, short: float = 0.0, **limits: Any) -> Application:
    """An application of this model whose inferences run beside the loop, unless `short` allows some on it."""
    bounds = {name: limits.pop(name) for name in ("queue_requests", "queue_rows") if name in limits}
    served = Application("churn", limits=Limits(bounds=Bounds(short_seconds=short, **bounds), **limits), workers=workers)
    served.models.serve(model)
    return served


async def ask(
    served: Any, document: Any = None, *, path: str = V1, headers: Mapping[str, str] | None = None, body: bytes | None = None,
    left: asyncio.Event | None = None,
) -> Reply:  # fmt: skip
    """One request; its client goes away when `left` is set."""
    content = json.dumps(document).encode() if body is None else body
    given = {"content-length": str(len(content)), **(headers or {})}
    scope = {
        "type": "http", "method": "POST", "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    unread = [{"type": "http.request", "body": content, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if unread:
            return unread.pop()
        await (left or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await served(scope, receive, send)
    if not sent:
        return Reply(0, {}, b"")
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], answered, sent[1]["body"])


async def held_by(model: Watched, served: Any, row: Any) -> "asyncio.Task[Reply]":
    """A request whose inference has begun and does not end until the model is freed."""
    model.free.clear()
    asking = asyncio.create_task(ask(served, {"instances": [row]}))
    assert await asyncio.to_thread(model.begun.acquire, timeout=10)
    return asking

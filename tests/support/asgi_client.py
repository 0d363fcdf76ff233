"""Requests to an ASGI application in this process, without a socket."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class AsgiClient:
    """Calls an application as a server would; every call gets an event loop of its own."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def post(
        self, path: str, document: Any = None, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        return self.send("POST", path, [json.dumps(document).encode() if body is None else body], headers or {})

    def send(self, method: str, path: str, chunks: Sequence[bytes] = (b"",), headers: dict[str, str] | None = None) -> Reply:
        """One request whose body arrives in these chunks."""
        return asyncio.run(asyncio.wait_for(self.call(method, path, chunks, headers or {}), timeout=30))

    async def call(self, method: str, path: str, chunks: Sequence[bytes], headers: dict[str, str]) -> Reply:
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        }
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)} for at, chunk in enumerate(chunks)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        if not sent:
            return Reply(0, {}, b"")
        return Reply(
            sent[0]["status"],
            {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]},
            b"".join(message["body"] for message in sent[1:]),
        )

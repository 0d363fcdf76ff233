"""Requests and responses between the processes of one server, as lines of JSON over a socket pair.

Both ends may send requests at any time, and several may be open at once. The sockets have no name, so no other process reaches
them.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Self

from stagewright.components.predictor.wire.errors import RequestError
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import ServiceUnavailable, StagewrightError

LONGEST_LINE = 16 * 1024 * 1024

Answerer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Lost(ServiceUnavailable):
    """The process at the other end has ended."""

    def __init__(self) -> None:
        super().__init__("a process of this server ended before it answered")


class Refused(RequestError):
    """The other end's error, with its HTTP status and exit code."""

    def __init__(self, sentence: str, status: int, exit_code: int) -> None:
        super().__init__(sentence)
        self.status, self.exit_code = status, exit_code


class Channel:
    """One end of a socket pair.

    Args:
        answer: Handles the other end's requests. A StagewrightError is sent back as its sentence.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answerer) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, end: socket.socket, answer: Answerer) -> Self:
        """Open a channel over one end of a socket pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=LONGEST_LINE), answer)

    async def request(self, what: str, **details: Any) -> Any:
        """Send a request and return the other end's result.

        Raises:
            Refused: If the other end answers with an error.
            Lost: If the other end closes before it has answered.
        """
        number = next(self._numbers)
        self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"ask": number, "what": what, "details": details})
            return await self._open[number]
        finally:
            del self._open[number]

    async def run(self) -> None:
        """Receive messages until the other end closes. Open requests then fail with Lost."""
        try:
            while line := await self._reader.readline():
                self._receive(json.loads(line))
        except (OSError, ValueError):
            pass  # closed in the middle of a line, or closed by this end
        finally:
            self._writer.close()
            for waiting in self._open.values():
                if not waiting.done():
                    waiting.set_exception(Lost())

    def close(self) -> None:
        self._writer.close()

    def _receive(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            task = asyncio.get_running_loop().create_task(self._reply(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        waiting = self._open.get(message["answer"])
        if waiting is None or waiting.done():
            return
        if "error" in message:
            waiting.set_exception(Refused(message["error"], message["status"], message["exit_code"]))
        else:
            waiting.set_result(message["result"])

    async def _reply(self, message: dict[str, Any]) -> None:
        number = message["ask"]
        try:
            answer = {"answer": number, "result": await self._answer(message["what"], message["details"])}
        except StagewrightError as error:
            status = getattr(error, "status", 503 if isinstance(error, ServiceUnavailable) else 400)
            answer = {"answer": number, "error": str(error), "status": status, "exit_code": error.exit_code}
        except Exception as error:  # noqa: BLE001 - an internal error: the traceback is logged, not sent
            logs.LOGGER.exception("control_failed", extra={"fields": {"what": message["what"], "error": str(error)}})
            sentence = f"the server failed with {type(error).__name__}; see the server log"
            answer = {"answer": number, "error": sentence, "status": 500, "exit_code": 1}
        with suppress(Lost):  # the other end has closed meanwhile
            self._send(answer)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer.is_closing():
            raise Lost
        self._writer.write(json.dumps(message).encode() + b"\n")

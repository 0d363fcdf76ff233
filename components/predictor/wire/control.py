"""Questions and answers between the processes of one server, as lines of JSON over a pair of sockets.

Both ends may ask at any time, and several questions may be open at once. The sockets have no name: nobody else can reach them.
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
    """The process at the other end has gone."""

    def __init__(self) -> None:
        super().__init__("a process of this server ended before it answered")


class Refused(RequestError):
    """What the other end says is wrong, with the status and the exit code that it says it with."""

    def __init__(self, sentence: str, status: int, exit_code: int) -> None:
        super().__init__(sentence)
        self.status, self.exit_code = status, exit_code


class Channel:
    """One end of a pair.

    Args:
        answer: Answers what the other end asks; a StagewrightError travels as its sentence.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answerer) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, end: socket.socket, answer: Answerer) -> Self:
        """A channel over one of a pair of sockets."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=LONGEST_LINE), answer)

    async def request(self, what: str, **details: Any) -> Any:
        """What the other end answers.

        Raises:
            Refused: With its sentence, if it refuses.
            Lost: If it ends before it has answered.
        """
        number = next(self._numbers)
        self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"ask": number, "what": what, "details": details})
            return await self._open[number]
        finally:
            del self._open[number]

    async def run(self) -> None:
        """Receive until the other end is gone; then every open question is lost."""
        try:
            while line := await self._reader.readline():
                self._receive(json.loads(line))
        except (OSError, ValueError):
            pass  # gone in the middle of a line, or closed here
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
        except Exception as error:  # noqa: BLE001 - a defect of ours: logged with its traceback, answered without it
            logs.LOGGER.exception("control_failed", extra={"fields": {"what": message["what"], "error": str(error)}})
            sentence = f"the server could not do this: {type(error).__name__}; its log says why"
            answer = {"answer": number, "error": sentence, "status": 500, "exit_code": 1}
        with suppress(Lost):  # who asked has gone meanwhile
            self._send(answer)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer.is_closing():
            raise Lost
        self._writer.write(json.dumps(message).encode() + b"\n")

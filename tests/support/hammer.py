"""Clients that ask again and again over kept-alive connections, and note what each answer was."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Seen:
    """What one client saw, in its order: status and version of every answer, and what went wrong."""

    answers: list[tuple[int, str | None]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0


@dataclass
class Hammer:
    """Clients at work.

    Attributes:
        seen: What each has seen so far.
    """

    seen: list[Seen]

    @property
    def count(self) -> int:
        return sum(len(one.answers) for one in self.seen)

    @property
    def statuses(self) -> set[int]:
        return {status for one in self.seen for status, _ in one.answers}

    @property
    def lost(self) -> list[str]:
        """Requests that were sent and not answered."""
        return [problem for one in self.seen for problem in one.lost]

    def versions(self) -> list[list[str | None]]:
        """The versions that each client saw, repetitions left out."""
        found = []
        for one in self.seen:
            changes = [version for _, version in one.answers]
            found.append([version for at, version in enumerate(changes) if not at or version != changes[at - 1]])
        return found

    def wait_for(self, count: int, timeout: float = 60.0) -> None:
        """Return after so many more answers."""
        goal, deadline = self.count + count, time.monotonic() + timeout
        while self.count < goal:
            assert time.monotonic() < deadline, f"only {self.count} of {goal} answers; lost: {self.lost[:3]}"
            time.sleep(0.01)


@contextlib.contextmanager
def hammering(url: str, name: str, rows: Sequence[Any], clients: int = 8) -> Iterator[Hammer]:
    """Clients that ask a model for predictions until the block ends, or nothing listens any more."""
    stop = threading.Event()
    hammer = Hammer([Seen() for _ in range(clients)])
    body = json.dumps({"instances": list(rows)}).encode()
    threads = [
        threading.Thread(target=_ask, args=(url, f"/v1/models/{name}:predict", body, seen, stop)) for seen in hammer.seen
    ]
    for thread in threads:
        thread.start()
    try:
        yield hammer
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a request was never answered"


def _ask(url: str, path: str, body: bytes, seen: Seen, stop: threading.Event) -> None:
    address = urlsplit(url)
    connection: http.client.HTTPConnection | None = None
    while not stop.is_set():
        if connection is None:
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
            try:
                connection.connect()
                # A request is sent as headers and body; together they must not wait for an acknowledgement.
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except ConnectionRefusedError:
                seen.refused += 1
                return
            except OSError as error:
                seen.lost.append(f"connect: {error!r}")
                return
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            seen.lost.append(repr(error))
            connection.close()
            connection = None
            continue
        seen.answers.append((answer.status, document.get("model_version")))
        if answer.getheader("connection") == "close":
            connection.close()
            connection = None
    if connection is not None:
        connection.close()

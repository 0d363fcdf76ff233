"""Tiny real HTTP servers that misbehave on purpose, for what puts load on servers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[["Exchange"], bytes | None]


@dataclass
class Exchange:
    """One request as the server saw it: its number over all connections, on its connection, and its bytes."""

    number: int
    on_connection: int
    request: bytes


@dataclass
class Server:
    """Where it listens and what it got."""

    address: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    largest_pile: int = 0


def response(body: bytes = b"{}", *, status: int = 200, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} Any\r\ncontent-length: {len(body)}\r\n{extra}\r\n".encode() + body


@contextmanager
def serving(answer: Answer, *, after: float = 0.0) -> Iterator[Server]:
    """Serve with a thread for each connection; an answer of None closes the connection instead.

    Args:
        after: Seconds between two halves of each response, to test that they are put together.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_sockets: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            open_sockets.append(client)
            threading.Thread(target=_talk, args=(client, server, answer, after), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.close()
        for client in open_sockets:
            client.close()


def _talk(client: socket.socket, server: Server, answer: Answer, after: float) -> None:
    waiting, count = b"", 0
    try:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := client.recv(1 << 16):
            waiting += data
            while (end := _whole(waiting)) is not None:
                request, waiting = waiting[:end], waiting[end:]
                server.largest_pile = max(server.largest_pile, len(waiting))
                server.requests.append(request)
                count += 1
                made = answer(Exchange(len(server.requests), count, request))
                if made is None:
                    client.close()
                    return
                if after:
                    client.sendall(made[: len(made) // 2])
                    time.sleep(after)
                    made = made[len(made) // 2 :]
                client.sendall(made)
                if b"connection: close" in made.lower():
                    client.close()
                    return
    except OSError:
        return


def _whole(data: bytes) -> int | None:
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.lower().find(b"content-length:", 0, head)
    length = int(data[at + 15 : data.find(b"\r\n", at)]) if at >= 0 else 0
    return head + 4 + length if len(data) >= head + 4 + length else None

"""HTTP without a client's good manners: bytes out, answers in."""

import socket
from contextlib import suppress
from dataclasses import dataclass

SECONDS = 20.0  # no answer within this time is a hang


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection to a server of which nothing is expected."""

    def __init__(self, host: str) -> None:
        name, _, port = host.partition(":")
        self.socket = socket.create_connection((name, int(port)), timeout=SECONDS)
        self._received = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Whether the server took all of it."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        with suppress(OSError):  # the server may have gone already
            self.socket.shutdown(socket.SHUT_WR)

    def answer(self, *, head: bool = False) -> RawAnswer | None:
        """The next answer; None if the server closes the connection without one.

        Args:
            head: The request was a HEAD, whose answer has no body.
        """
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                return None
        top, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if status == 100:
            return self.answer(head=head)
        length = 0 if head else int(headers.get("content-length", 0))
        chunked = headers.get("transfer-encoding") == "chunked"
        while len(self._received) < length or (chunked and b"0\r\n\r\n" not in self._received):
            if not self._more():
                break
        body, self._received = (self._received, b"") if chunked else (self._received[:length], self._received[length:])
        return RawAnswer(status, headers, body)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._received += data
        return bool(data)


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A whole request."""
    given = {"Host": "server", "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogatepass") + body


def exchange(host: str, data: bytes, *, head: bool = False) -> RawAnswer | None:
    """The first answer to these bytes, on a connection of their own."""
    with Connection(host) as connection:
        connection.send(data)
        return connection.answer(head=head)

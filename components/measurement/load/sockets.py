"""One connection of the load generator, how it is made, the server's address, and the heads of its responses."""

import socket
from typing import Any
from urllib.parse import urlsplit

from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable

KNOWN_HEADS = 1024
CONNECT_SECONDS = 5.0
NOT_BEGUN = -1.0

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class Connection:
    """One socket and what is under way on it."""

    __slots__ = ("began", "closing", "fresh", "head", "left", "out", "socket", "status")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.began = NOT_BEGUN  # when the request that is under way was sent, or was due; NOT_BEGUN: none is
        self.out: memoryview | None = None  # what is not sent yet
        self.head = b""
        self.left = -1  # bytes of the body that are still to come; -1: the head has not come
        self.status = 0
        self.closing = False
        self.fresh = True  # nothing was answered on this socket yet


class Heads:
    """Responses' heads, remembered as they are, because they repeat."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int, bool]] = {}

    def read(self, head: bytes) -> tuple[int, int, bool]:
        """Status, length of the body, and whether the server closes the connection.

        Raises:
            InputError: If the head does not say how long the body is.
        """
        return self._known.get(head) or self._parse(head)

    def _parse(self, head: bytes) -> tuple[int, int, bool]:
        status_line, *fields = head.decode("latin-1").lower().split("\r\n")
        named = dict(field.split(":", 1) for field in fields if ":" in field)
        try:
            status = int(status_line.split()[1])
            length = 0 if status in (204, 304) else int(named["content-length"])
        except (KeyError, ValueError, IndexError):
            raise InputError(
                f"the server answers '{status_line[:80]}' without Content-Length; a load can be measured only with it"
            ) from None
        if len(self._known) >= KNOWN_HEADS:
            self._known.clear()
        found = self._known[head] = (status, length, named.get("connection", "").strip() == "close")
        return found


def begin_to_connect(address: Address, *, blocking: bool = False) -> socket.socket | None:
    """A non-blocking socket that is connected, or will be soon; None if that could not be begun.

    Args:
        blocking: Wait until it is connected.

    Raises:
        ServiceUnavailable: If nothing accepts connections, where that is waited for.
    """
    family, place = address
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(CONNECT_SECONDS if blocking else 0)
        made.connect(place)
    except BlockingIOError:
        pass
    except OSError as error:
        made.close()
        if blocking:
            shown = ":".join(str(part) for part in place[:2])
            raise ServiceUnavailable(f"nothing can be measured at {shown}: {error.strerror or error}") from None
        return None
    made.setblocking(False)
    return made


def resolve(address: str) -> Address:
    """The socket address of `http://host:port` or `host:port`.

    Raises:
        BadParameter: If it is something else.
        ServiceUnavailable: If the host is not known.
    """
    expected = "http://host:port or host:port"
    split = urlsplit(address if "//" in address else f"//{address}")
    try:
        port = split.port or 80
    except ValueError:
        raise BadParameter("address", got=address, expected=expected) from None
    if split.scheme not in ("", "http") or not split.hostname:
        raise BadParameter("address", got=address, expected=expected)
    try:
        family, _, _, _, place = socket.getaddrinfo(split.hostname, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ServiceUnavailable(f"host '{split.hostname}' is not known: {error.strerror or error}") from None
    return family, place

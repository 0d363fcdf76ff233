"""The load generator's connections: non-blocking sockets, one event queue, responses read no further than is needed."""

import select
import time
from collections import deque

from stagewright.components.measurement.load.measurement import Measurement
from stagewright.components.measurement.load.sockets import NOT_BEGUN, Address, Connection, Heads, begin_to_connect
from stagewright.components.runtime.errors import InputError

READ_BYTES = 1 << 18
RETRY_SECONDS = 0.02
MOST_SELECTED = 1024  # select() takes no file descriptor from here on
IN, OUT = select.POLLIN, select.POLLOUT  # epoll's are the same


class Connections:
    """A number of connections to one server.

    Attributes:
        measured: What was measured on them.
    """

    def __init__(self, address: Address, requests: list[bytes], count: int) -> None:
        self._address, self._requests, self._next = address, requests, 0
        self._epoll = select.epoll()
        self._selectable = self._epoll.fileno() < MOST_SELECTED
        self._by_fd: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._later: deque[tuple[float, Connection]] = deque()
        self._busy = 0
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._heads = Heads()
        self._is_closed_loop = True
        self.measured = Measurement()
        for _ in range(count):
            connection = Connection()
            self._open(connection, blocking=True)
            self._idle.append(connection)

    def closed_loop(self, start: float, end: float, patience: float) -> None:
        """Keep every connection busy until `end`; count from `start`."""
        self._is_closed_loop = True
        self.measured.between(start, end)
        clock, poll = time.perf_counter, self._epoll.poll
        for connection in [*self._idle]:
            self._send(connection, clock())
        self._idle.clear()
        while (now := clock()) < end:
            if self._later:
                self._reopen(now)
            self._handle(poll(min(end - now, RETRY_SECONDS)))
        self._drain([], end + patience)

    def open_loop(self, due: list[float], start: float, end: float, patience: float) -> None:
        """Send each request when it is due, or as soon after as a connection is free; count those due from `start` on."""
        self._is_closed_loop = False
        self.measured.between(start, end)
        clock, idle = time.perf_counter, self._idle
        sent, total = 0, len(due)
        while (now := clock()) < end or sent < total:
            if now > end + patience:
                break
            if self._later:
                self._reopen(now)
            while sent < total and idle and due[sent] <= now:
                moment = due[sent]
                sent += 1
                self._send(idle.popleft(), moment)
            next_due = due[sent] if sent < total and idle else min(end if now < end else end + patience, now + RETRY_SECONDS)
            self._handle(self._wait(next_due))
        self._drain(due[sent:], end + patience)

    def close(self) -> None:
        for connection in self._by_fd.values():
            if connection.socket is not None:
                connection.socket.close()
        self._epoll.close()

    def _wait(self, until: float) -> list[tuple[int, int]]:
        """What happened by then, at once if something has. The queue itself counts in milliseconds, select in microseconds."""
        if events := self._epoll.poll(0):
            return events
        if (gap := until - time.perf_counter()) <= 0:
            return []
        if not self._selectable:
            return self._epoll.poll(gap)
        select.select([self._epoll], [], [], gap)
        return self._epoll.poll(0)

    def _drain(self, unsent: list[float], until: float) -> None:
        """Wait for what is under way; what is not answered by then is an error."""
        self._is_closed_loop = False
        while self._busy and (now := time.perf_counter()) < until:
            self._handle(self._epoll.poll(until - now))
        now = time.perf_counter()
        under_way = [connection.began for connection in self._by_fd.values() if connection.began != NOT_BEGUN]
        for began in (*under_way, *unsent):
            self.measured.lost(began, now)

    def _handle(self, events: list[tuple[int, int]]) -> None:
        by_fd = self._by_fd
        for fd, what in events:
            connection = by_fd.get(fd)
            if connection is None:
                continue
            if what & OUT:
                self._continue(connection, fd)
            if what & ~OUT:
                self._receive(connection)

    def _send(self, connection: Connection, began: float) -> None:
        """Send the next request; whatever cannot be sent at once follows when there is room."""
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        connection.began, connection.left = began, -1
        self._busy += 1
        if connection.socket is None:
            connection.out = memoryview(request)
            return
        try:
            sent = connection.socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(connection)
            return
        if sent < len(request):
            connection.out = memoryview(request)[sent:]
            self._epoll.modify(connection.socket.fileno(), IN | OUT)

    def _continue(self, connection: Connection, fd: int) -> None:
        """Send what was left, also after a connection has been made."""
        if connection.socket is None:
            return
        try:
            if connection.out:
                connection.out = connection.out[connection.socket.send(connection.out) :]
        except BlockingIOError:
            return
        except OSError:
            self._fail(connection)
            return
        if not connection.out:
            connection.out = None
            self._epoll.modify(fd, IN)

    def _receive(self, connection: Connection) -> None:
        if connection.socket is None:
            return
        try:
            size = connection.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if connection.began == NOT_BEGUN:
            self._again(connection)  # an idle connection may be closed, with or without a last word: no request is lost
            return
        if not size:
            self._fail(connection)
            return
        if connection.left < 0:
            end = self._buffer.find(b"\r\n\r\n", 0, size) if not connection.head else -1
            if end >= 0:
                head, body = bytes(self._view[: end + 4]), size - end - 4
            else:
                connection.head += bytes(self._view[:size])
                end = connection.head.find(b"\r\n\r\n")
                if end < 0:
                    return
                head, body = connection.head[: end + 4], len(connection.head) - end - 4
                connection.head = b""
            connection.status, length, connection.closing = self._heads.read(head)
            connection.left = length - body
        else:
            connection.left -= size
        if connection.left <= 0:
            self._complete(connection)

    def _complete(self, connection: Connection) -> None:
        now, began, status = time.perf_counter(), connection.began, connection.status
        if connection.left < 0:
            raise InputError("the server sent more than one response to a request; a load cannot be measured on it")
        connection.began, connection.fresh = NOT_BEGUN, False
        self._busy -= 1
        self.measured.answered(began, now, status)
        if connection.closing:
            self._again(connection)
        elif self._is_closed_loop and now < self.measured.end:
            self._send(connection, now)
        else:
            self._idle.append(connection)

    def _fail(self, connection: Connection) -> None:
        """The request under way is lost with its connection; a new connection takes its place a moment later."""
        began, connection.began = connection.began, NOT_BEGUN
        self._busy -= 1
        self.measured.lost(began, time.perf_counter())
        self._discard(connection)
        self._later.append((time.perf_counter() + RETRY_SECONDS, connection))

    def _again(self, connection: Connection) -> None:
        """A new connection in place of one that the server has closed; later, if it closes them unused."""
        refused = connection.fresh
        self._discard(connection)
        if not refused and self._open(connection):
            self._ready(connection)
        else:
            self._later.append((time.perf_counter() + RETRY_SECONDS, connection))

    def _reopen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, connection = self._later.popleft()
            if self._open(connection):
                self._ready(connection)
            else:
                self._later.append((now + RETRY_SECONDS, connection))

    def _ready(self, connection: Connection) -> None:
        now = time.perf_counter()
        if self._is_closed_loop and now < self.measured.end:
            self._send(connection, now)
        else:
            self._idle.append(connection)

    def _discard(self, connection: Connection) -> None:
        if connection.socket is not None:
            self._by_fd.pop(connection.socket.fileno(), None)
            connection.socket.close()
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket, connection.out, connection.head, connection.left, connection.closing = None, None, b"", -1, False

    def _open(self, connection: Connection, *, blocking: bool = False) -> bool:
        """Begin to connect; whether that could be begun. What is sent before it is done waits in the connection."""
        made = begin_to_connect(self._address, blocking=blocking)
        if made is None:
            return False
        connection.socket, connection.fresh = made, True
        self._by_fd[made.fileno()] = connection
        self._epoll.register(made.fileno(), IN)
        return True

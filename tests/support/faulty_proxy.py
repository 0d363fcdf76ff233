"""A TCP proxy that can be told to misbehave, for tests of what happens when a network does."""

import contextlib
import socket
import threading


class FaultyProxy:
    """Forwards connections to a server; some are refused or cut.

    Args:
        target: Host and port of the server behind it.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.refuse = 0  # so many of the next connections are closed at once
        self.cut_after: int | None = None  # the next answer ends after so many bytes
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "FaultyProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept() keeps the port open until somebody knocks.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refuse > 0:
                self.refuse -= 1
                connection.close()
                continue
            server = socket.create_connection(self.target)
            threading.Thread(target=self._forward, args=(connection, server, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, connection, True), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.cut_after is not None and sent + len(data) >= self.cut_after:
                    sink.sendall(data[: max(0, self.cut_after - sent)])
                    self.cut_after = None
                    break
                sink.sendall(data)
                sent += len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

"""Heartbeats of an MLflow model's process: one byte a second through a pipe.

They detect a process that was stopped, or that hangs in a library which blocks all Python threads, even while the process is
idle or has a long time for its current request.
"""

import os
import threading
import time
from contextlib import suppress

BEAT_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 2 * BEAT_SECONDS
_BYTES = 4096


def send_heartbeats(descriptor: int) -> None:
    """Send heartbeats from a daemon thread until the process ends."""
    os.set_blocking(descriptor, False)
    threading.Thread(target=_send, args=(descriptor,), name="heartbeat", daemon=True).start()


def _send(descriptor: int) -> None:
    while True:
        try:
            with suppress(BlockingIOError):  # the pipe is full, and its content is enough
                os.write(descriptor, b".")
        except OSError:
            return  # the parent has closed its end
        time.sleep(BEAT_SECONDS)


class Heartbeat:
    """The parent's end of the pipe.

    Attributes:
        child_end: File descriptor of the child's end.
    """

    def __init__(self) -> None:
        self._descriptor, self.child_end = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._silence, self._looked = 0.0, time.monotonic()
        self._lock = threading.Lock()  # one thread reads while another may close

    def seconds_since_last(self) -> float:
        """Seconds since the last heartbeat.

        Of the time between two calls, at most two seconds count. So a parent that was blocked, or stopped together with the
        process, does not take the process for dead.
        """
        with self._lock:
            now = time.monotonic()
            self._silence += min(now - self._looked, LONGEST_LOOK_SECONDS)
            self._looked = now
            with suppress(BlockingIOError):
                if self._descriptor >= 0 and os.read(self._descriptor, _BYTES):
                    self._silence = 0.0
            return self._silence

    def close_child_end(self) -> None:
        """Close the parent's copy of the child's end, after the child has started."""
        os.close(self.child_end)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

"""Signs of life of a model's process, asked or not: a byte a second through a pipe, for as long as it can run Python at all.

What they tell is what the answers cannot: that a process which nobody asks anything, or whose answer is due only in a minute,
was stopped or is stuck inside a library that lets no other thread run.
"""

import os
import threading
import time
from contextlib import suppress

BEAT_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 2 * BEAT_SECONDS
_BYTES = 4096


def send_heartbeats(descriptor: int) -> None:
    """Give signs of life from a thread of its own, until the process ends."""
    os.set_blocking(descriptor, False)
    threading.Thread(target=_beat, args=(descriptor,), name="heartbeat", daemon=True).start()


def _beat(descriptor: int) -> None:
    while True:
        try:
            with suppress(BlockingIOError):  # nobody looks just now, and what is in the pipe already says enough
                os.write(descriptor, b".")
        except OSError:
            return  # nobody will look any more
        time.sleep(BEAT_SECONDS)


class Heartbeat:
    """The parent's end of the pipe."""

    def __init__(self) -> None:
        self._descriptor, self.child_end = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._silence, self._looked = 0.0, time.monotonic()
        self._lock = threading.Lock()  # one thread looks while another may close

    def seconds_since_last(self) -> float:
        """Seconds since the last sign of life.

        Of the time between two looks no more than a moment counts: a parent that was held up itself, or stopped together with
        the process, has not been listening.
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
        """The process has its end; ours of that is not needed."""
        os.close(self.child_end)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

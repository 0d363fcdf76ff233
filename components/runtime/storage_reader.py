"""A stored object as a file: read in order or at will, without holding it in memory."""

import io
import os
from collections.abc import Callable
from typing import Any

from stagewright.components.runtime.storage_faults import Faults


class ObjectReader(io.RawIOBase):
    """Bytes of one object.

    Args:
        uri: The object, for messages.
        size: Its size in bytes.
        request: Starts an answer at an offset.
        faults: What to do when the connection breaks.
    """

    def __init__(self, uri: str, size: int, request: Callable[[int], Any], faults: Faults) -> None:
        super().__init__()
        self.uri, self.size = uri, size
        self._request, self._faults = request, faults
        self._position = 0
        self._answer: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        target = max(0, start + offset)
        if target != self._position:
            self._drop()
            self._position = target
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.size - self._position)
        if wanted <= 0:
            return 0
        data = self._faults.retrying(self.uri, lambda: self._read(wanted))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, wanted: int) -> bytes:
        from urllib3.exceptions import HTTPError, ProtocolError

        try:
            if self._answer is None:
                self._answer = self._request(self._position)
            data: bytes = self._answer.read(wanted)
        except HTTPError:
            self._drop()  # the next attempt asks for the rest
            raise
        if not data:
            self._drop()
            raise ProtocolError(f"the answer ended {self.size - self._position} bytes early")
        return data

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer.release_conn()
            self._answer = None

    def close(self) -> None:
        self._drop()
        super().close()

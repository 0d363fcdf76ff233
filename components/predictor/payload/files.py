"""Parquet files of the payload log, and the thread that uploads them."""

import io
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from os import getpid
from pathlib import Path
from typing import Protocol

from arro3.core import RecordBatch, Table
from arro3.io import write_parquet

from stagewright.components.predictor.payload.counts import Counts
from stagewright.components.predictor.payload.settings import PURPOSE
from stagewright.components.runtime import logs
from stagewright.components.runtime.settings import StorageSettings, load_settings
from stagewright.components.runtime.storage import ObjectStore, is_remote, join, parse, replacing

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
GROUP_VALUES = 16_384  # values of a row group; its compression blocks the interpreter for about a millisecond
REST_SECONDS, WORK_SECONDS = 0.0005, 0.0003  # after so much work, the thread sleeps so long, so that requests can run

_number = count()
_host = re.sub(r"[^A-Za-z0-9.]+", "_", socket.gethostname()) or "host"


class Destination(Protocol):
    """Storage of files by path."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file.

        Raises:
            Exception: If the storage fails.
        """


class File:
    """One Parquet file.

    Attributes:
        path: Unique path below the destination: `<model>/<YYYY-MM-DD>/<HHMMSS>-<host>-<pid>-<n>.parquet`.
    """

    __slots__ = ("data", "model", "path", "rows")

    def __init__(self, model: str, moment: datetime, data: bytes, rows: int) -> None:
        self.path = f"{model}/{moment:%Y-%m-%d}/{moment:%H%M%S}-{_host}-{getpid()}-{next(_number):06d}.parquet"
        self.model, self.data, self.rows = model, data, rows


class _Folder:
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder.removeprefix("file://")).expanduser()

    def write(self, path: str, data: bytes) -> None:
        with replacing(self._folder / path) as file:
            file.write(data)


class _Store:
    def __init__(self, uri: str) -> None:
        self._bucket, _ = parse(uri)
        self._uri = uri
        # No retries here: the sender repeats failed uploads.
        storage = load_settings(StorageSettings, PURPOSE)
        self._store = ObjectStore(storage, patience=0.0)
        self._ready = False

    def write(self, path: str, data: bytes) -> None:
        if not self._ready:
            self._store.ensure_bucket(self._bucket)
            self._ready = True
        self._store.write(join(self._uri, path), data)


def destination(uri: str) -> Destination:
    """Open the destination of the files.

    Raises:
        InputError: If an `s3://` URI is malformed, or the environment has no settings of the object store.
    """
    return _Store(uri) if is_remote(uri) else _Folder(uri)


def parquet(batches: Sequence[RecordBatch], metadata: dict[str, str]) -> bytes:
    """Write record batches to a Parquet file in memory: zstd, with row groups small enough not to delay requests."""
    table = Table.from_batches(batches)
    file = _Considerate()
    rows = max(64, GROUP_VALUES // max(1, table.num_columns))
    write_parquet(table, file, compression="zstd(3)", max_row_group_size=rows, key_value_metadata=metadata)
    return file.getvalue()


def rest(since: float) -> float:
    """Sleep briefly if this thread has used enough CPU time since `since`, so that requests can run.

    Returns:
        The thread's CPU time, in seconds, from which the next slice counts."""
    now = time.thread_time()
    if now - since < WORK_SECONDS:
        return since
    time.sleep(REST_SECONDS)
    return time.thread_time()


class _Considerate(io.BytesIO):
    """A file in memory that calls `rest` before each write."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.thread_time()

    def write(self, data: object) -> int:
        self._since = rest(self._since)
        return super().write(data)  # type: ignore[arg-type]


class Sender:
    """Uploads files in a thread, and repeats failed uploads.

    Args:
        to: Destination of the files.
        counter: Counts written rows, dropped rows and failures.
        limit: Most bytes of waiting files. Further files are dropped.
    """

    def __init__(self, to: Destination, counter: Counts, *, limit: int) -> None:
        self._to, self._counter, self._limit = to, counter, limit
        self._files: deque[File] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._send_all, name="payload-upload", daemon=True)
        self._thread.start()

    def put(self, file: File) -> None:
        """Queue a file, or drop it if too many bytes are waiting."""
        with self._changed:
            if self._files and self._bytes + len(file.data) > self._limit:
                self._counter.dropped("store", file.rows)
                return
            self._files.append(file)
            self._bytes += len(file.data)
            self._changed.notify()

    def close(self, deadline: float) -> int:
        """Upload waiting files until a deadline of the monotonic clock; return the number of rows that were not uploaded."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            return sum(file.rows for file in self._files)

    def _send_all(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._files or self._closing)
                if not self._files:
                    return
                file = self._files[0]
            failures = self._send(file, failures)
            if failures:
                self._rest(min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS))
                continue
            with self._changed:
                self._files.popleft()
                self._bytes -= len(file.data)

    def _rest(self, seconds: float) -> None:
        """Wait before the next attempt; shorter while the log is closing."""
        with self._changed:
            if self._closing:
                self._changed.wait(FIRST_PAUSE_SECONDS)
            else:
                self._changed.wait_for(self._is_closing, seconds)

    def _is_closing(self) -> bool:
        return self._closing

    def _send(self, file: File, failures: int) -> int:
        """Try one upload; return the number of consecutive failures."""
        try:
            self._to.write(file.path, file.data)
        except BaseException as error:  # noqa: BLE001 - any failure of the store is repeated later
            self._counter.failed()
            if not failures:
                logs.event("payload_upload_failed", path=file.path, reason=str(error) or type(error).__name__)
            return failures + 1
        self._counter.rows(file.model, file.rows)
        if failures:
            logs.event("payload_upload_recovered", path=file.path, attempts=failures + 1)
        return 0


def moment(seconds: float) -> datetime:
    """UTC time of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)

"""The payload log: inputs and predictions as Parquet files. Requests never wait for it.

A request appends one tuple of references to a bounded queue. One thread converts entries to columns, in short slices because it
shares the interpreter with requests. Another thread uploads finished files. Entries that do not fit are dropped and counted.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from zlib import crc32

from arro3.core import RecordBatch

from stagewright.components.predictor.inference.batch import ResultSlice
from stagewright.components.predictor.payload.columns import Arrays, Entry, Layout, Model, Piece
from stagewright.components.predictor.payload.counts import Counts
from stagewright.components.predictor.payload.files import File, Sender, destination, moment, parquet, rest
from stagewright.components.predictor.payload.settings import PayloadSettings
from stagewright.components.predictor.wire.asgi import REQUEST_ID
from stagewright.components.predictor.wire.messages import Answer
from stagewright.components.runtime import logs

POLL_SECONDS = 0.1
CLOSE_SECONDS = 2.5  # within the server's time after its last response
POPPED = 256  # entries taken from the queue at once
CHUNK_ENTRIES, CHUNK_VALUES = 2048, 4096  # limits of one conversion, over all columns: about half a millisecond
LONGEST_ID = 256  # longest id in a response header, in characters
ROW_BYTES = 16  # approximate bytes of a row's outputs
_MIXER, _WORD = 2654435761, 2**32  # Knuth's multiplicative hashing


@dataclass(slots=True)
class _Buffer:
    """Columns of one model and day that are not yet written to a file."""

    layout: Layout
    time: float  # time of its first row, in seconds since 1970
    opened: float  # by the monotonic clock
    batches: list[RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


class PayloadLog:
    """Logs the predictions of a process. `record` must be called on the event loop's thread.

    Args:
        settings: Settings of the log.
        counter: Counts written rows, dropped rows and failed uploads.

    Raises:
        InputError: If the destination is malformed or not configured. An unreachable store is no error.
    """

    def __init__(self, settings: PayloadSettings, counter: Counts) -> None:
        self.settings, self._counter = settings, counter
        self._everything = settings.sample >= 1
        self._most_rows, self._most_bytes = settings.queue_rows, settings.queue_bytes
        self._threshold = int(settings.sample * _WORD)
        self._waiting: deque[Entry] = deque()
        # Totals of queued and of processed entries. Each is written by one thread only, so no lock is needed.
        self._rows_in = self._rows_out = 0
        self._bytes_in = self._bytes_out = 0
        self._buffers: dict[tuple[str, str | None, int], _Buffer] = {}
        self._sender = Sender(destination(settings.destination), counter, limit=settings.queue_bytes)
        self._ids, self._id_prefix = count(), secrets.token_hex(8)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="payload-columns", daemon=True)
        self._thread.start()

    def log_answer(
        self,
        answer: Answer,
        model: Model,
        result: ResultSlice,
        body_id: str | None,
        header: bytes | None,
        size: int,
        started: float,
    ) -> Answer:
        """Record a request and return its response with the request's id as a header.

        Args:
            answer: Response to the request.
            model: The model.
            result: The request's slice of its batch.
            body_id: Id in the request body.
            header: Id in the request's header.
            size: Bytes of the request body.
            started: Arrival of the request, a value of `perf_counter`.
        """
        request_id = self.identify(body_id, header)
        batch = result.batch
        self.record(
            model, request_id, batch.feeds, batch.outputs, result.stop - result.start,
            start=result.start, size=size, seconds=time.perf_counter() - started,
        )  # fmt: skip
        value = header_value(request_id)
        if value is None:
            return answer
        return Answer(answer.status, answer.body, answer.content_type, (*answer.headers, (REQUEST_ID, value)))

    def identify(self, body_id: str | None, header: bytes | None = None) -> str:
        """Id of a request: that of its body, else of its header `x-request-id`, else a new one."""
        return body_id or (header.decode("latin-1") if header else f"{self._id_prefix}-{next(self._ids):x}")

    def record(
        self, model: Model, request_id: str, feeds: Arrays, outputs: Arrays, rows: int, *,
        start: int = 0, size: int = 0, seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Queue a successful request for the log; never blocks, never raises.

        Args:
            model: The model.
            request_id: Id of the request.
            feeds: Graph inputs, each [N, ...], of this request or of its batch. They must not be changed afterwards.
            outputs: Model outputs, each [N, ...], for the same rows.
            rows: Number of rows of this request.
            start: Index of its first row.
            size: Bytes of the request body, for the memory limit.
            seconds: Duration of the request.
        """
        try:
            if not (self._everything or self.chosen(request_id)):
                return
            size += rows * ROW_BYTES
            if (
                self._rows_in - self._rows_out + rows > self._most_rows
                or self._bytes_in - self._bytes_out + size > self._most_bytes
            ):
                self._counter.dropped("queue", rows)
                return
            self._rows_in += rows
            self._bytes_in += size
            self._waiting.append(Entry(model, request_id, feeds, outputs, rows, start, time.time(), seconds, size))
        except Exception as error:  # noqa: BLE001 - a failure of the log must not fail the response
            self._failed(error, rows)

    def chosen(self, request_id: str) -> bool:
        """Whether a request is in the sample. All replicas decide the same."""
        return crc32(request_id.encode()) * _MIXER % _WORD < self._threshold

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write and upload all entries. Rows that are not uploaded within `seconds` are lost and counted."""
        deadline = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        unwritten = self._rows_in - self._rows_out + sum(buffer.rows for buffer in self._buffers.values())
        lost = unwritten + self._sender.close(deadline)
        if lost:
            self._counter.dropped("shutdown", lost)
            logs.event("payload_rows_lost", rows=lost, destination=self.settings.destination)

    def _work(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(POLL_SECONDS)
            try:
                self._drain(hurry=closing)
                self._flush(everything=closing)
            except BaseException as error:  # noqa: BLE001 - the log continues after any failure
                self._failed(error, 0)

    def _drain(self, *, hurry: bool) -> None:
        since = time.thread_time()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), POPPED))]
            try:
                for group in _groups(batch):
                    since = self._collect(group, since, hurry=hurry)
            finally:
                # Only now, so that the limit includes the entries in progress.
                self._rows_out += sum(entry.rows for entry in batch)
                self._bytes_out += sum(entry.size for entry in batch)
            del batch, group
            self._flush()

    def _collect(self, entries: list[Entry], since: float, *, hurry: bool) -> float:
        """Convert entries of one model and add them to its buffer."""
        left = sum(entry.rows for entry in entries)
        try:
            buffer = self._buffer(entries[0])
            for pieces in _chunks(entries, len(buffer.layout)):
                made = buffer.layout.batch(pieces)
                buffer.batches.append(made)
                buffer.rows += made.num_rows
                buffer.bytes += made.nbytes
                left -= made.num_rows
                since = since if hurry else rest(since)
        except BaseException as error:  # noqa: BLE001 - the log continues; arro3's panics are not of class Exception
            self._failed(error, left)
        return since

    def _buffer(self, entry: Entry) -> _Buffer:
        day = int(entry.time // 86400)
        key = (entry.model.name, entry.model.version, day)
        found = self._buffers.get(key)
        if found is not None and found.layout.signature is not entry.model.signature:
            self._write(self._buffers.pop(key))  # another model of the same version has replaced it
            found = None
        if found is None:
            layout = Layout(entry.model, exclude=self.settings.exclude, tensors=self.settings.tensors)
            found = self._buffers[key] = _Buffer(layout, entry.time, time.monotonic())
        return found

    def _flush(self, *, everything: bool = False) -> None:
        """Write buffers that are old or large enough, and the largest ones while the total is too large."""
        now = time.monotonic()
        for key, buffer in list(self._buffers.items()):
            due = buffer.rows >= self.settings.flush_rows or now - buffer.opened >= self.settings.flush_seconds
            if due or everything:
                self._write(self._buffers.pop(key))
        while sum(buffer.bytes for buffer in self._buffers.values()) >= self.settings.flush_bytes:
            self._write(self._buffers.pop(max(self._buffers, key=lambda key: self._buffers[key].bytes)))

    def _write(self, buffer: _Buffer) -> None:
        if not buffer.rows:
            return
        try:
            data = parquet(buffer.batches, buffer.layout.metadata)
            self._sender.put(File(buffer.layout.name, moment(buffer.time), data, buffer.rows))
        except BaseException as error:  # noqa: BLE001
            self._failed(error, buffer.rows)

    def _failed(self, error: BaseException, rows: int) -> None:
        self._counter.dropped("error", rows)
        logs.LOGGER.error("payload_not_logged", exc_info=error, extra={"fields": {"rows": rows, "error": str(error)}})


def header_value(request_id: str) -> bytes | None:
    """Value of an id in a response header; None if the id is too long or not printable ASCII."""
    if len(request_id) <= LONGEST_ID and request_id.isascii() and request_id.isprintable():
        return request_id.encode()
    return None


def _groups(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Group entries by model and day, in order of arrival."""
    groups: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((id(entry.model), int(entry.time // 86400)), []).append(entry)
    return list(groups.values())


def _chunks(entries: Iterable[Entry], columns: int) -> Iterable[list[Piece]]:
    """Split entries into pieces that are converted at once, within about half a millisecond."""
    most_entries, most_rows = max(8, CHUNK_ENTRIES // columns), max(64, CHUNK_VALUES // columns)
    pieces: list[Piece] = []
    rows = 0
    for entry in entries:
        first = 0
        while first < entry.rows:
            last = min(entry.rows, first + most_rows - rows)
            pieces.append(Piece(entry, first, last))
            rows, first = rows + last - first, last
            if rows >= most_rows or len(pieces) >= most_entries:
                yield pieces
                pieces, rows = [], 0
    if pieces:
        yield pieces

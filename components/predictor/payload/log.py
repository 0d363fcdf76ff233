"""The payload log: what was asked and answered, as Parquet files, without a request ever waiting for it.

A request appends one tuple of references to a bounded deque. A thread makes columns of them, a little at a time, because it
shares the interpreter with the requests; another one brings finished files to the store. What does not fit is dropped and
counted.
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
CLOSE_SECONDS = 2.5  # of the time that the server has after its last answer
POPPED = 256  # entries taken from the queue at a time
CHUNK_ENTRIES, CHUNK_VALUES = 2048, 4096  # of one conversion, together over its columns: about half a millisecond
LONGEST_ID = 256  # characters of an id that a response header carries
ROW_BYTES = 16  # of an answer, roughly
_MIXER, _WORD = 2654435761, 2**32  # Knuth's multiplicative hashing


@dataclass(slots=True)
class _Buffer:
    """Columns of one model and day that wait to become a file."""

    layout: Layout
    time: float  # of its first row
    opened: float  # by the monotonic clock
    batches: list[RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


class PayloadLog:
    """Logs predictions of a process's models. `record` is called from one thread, the event loop's.

    Args:
        settings: What is logged and where to.
        counter: What is told of rows written, rows dropped and failed uploads.

    Raises:
        InputError: If the destination cannot be used, whatever its state.
    """

    def __init__(self, settings: PayloadSettings, counter: Counts) -> None:
        self.settings, self._counter = settings, counter
        self._everything = settings.sample >= 1
        self._most_rows, self._most_bytes = settings.queue_rows, settings.queue_bytes
        self._threshold = int(settings.sample * _WORD)
        self._waiting: deque[Entry] = deque()
        # Each is written by one thread only, so that neither needs a lock: what was taken in, and what was let go of.
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
        """The same answer with the request's id as a header, after the request was recorded.

        Args:
            body_id: The id that the body has.
            header: The id that the request's header has.
            size: Bytes of the body.
            started: When the request came, by `perf_counter`.
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
        """A request's id: what it says in its body, else its header `x-request-id`, else one of our own."""
        return body_id or (header.decode("latin-1") if header else f"{self._id_prefix}-{next(self._ids):x}")

    def record(
        self, model: Model, request_id: str, feeds: Arrays, outputs: Arrays, rows: int, *,
        start: int = 0, size: int = 0, seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Take note of an answered request; never waits, never raises.

        Args:
            feeds: Inputs of the graph, each [N, ...], of this request or of its batch; nobody may change them afterwards.
            outputs: The model's outputs for the same N rows.
            rows: How many of the rows are this request's.
            start: The first of them.
            size: Bytes of the request's body, for the bound on memory.
            seconds: What the answer took.
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
        except Exception as error:  # noqa: BLE001 - an answer matters more than its log
            self._failed(error, rows)

    def chosen(self, request_id: str) -> bool:
        """Whether a request is in the sample: every replica decides alike."""
        return crc32(request_id.encode()) * _MIXER % _WORD < self._threshold

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write and send what was taken in; what cannot be sent within the time is lost and counted."""
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
            except BaseException as error:  # noqa: BLE001 - whatever happens here, the next rows are logged
                self._failed(error, 0)

    def _drain(self, *, hurry: bool) -> None:
        since = time.thread_time()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), POPPED))]
            try:
                for group in _groups(batch):
                    since = self._collect(group, since, hurry=hurry)
            finally:
                # Only now, so that the bound covers what is being worked on.
                self._rows_out += sum(entry.rows for entry in batch)
                self._bytes_out += sum(entry.size for entry in batch)
            del batch, group
            self._flush()

    def _collect(self, entries: list[Entry], since: float, *, hurry: bool) -> float:
        """Put entries of one model into its buffer."""
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
        except BaseException as error:  # noqa: BLE001 - what cannot be logged does not end the log; arro3's panics are no Exception
            self._failed(error, left)
        return since

    def _buffer(self, entry: Entry) -> _Buffer:
        day = int(entry.time // 86400)
        key = (entry.model.name, entry.model.version, day)
        found = self._buffers.get(key)
        if found is not None and found.layout.signature is not entry.model.signature:
            self._write(self._buffers.pop(key))  # the model was replaced by another one of the same version
            found = None
        if found is None:
            layout = Layout(entry.model, exclude=self.settings.exclude, tensors=self.settings.tensors)
            found = self._buffers[key] = _Buffer(layout, entry.time, time.monotonic())
        return found

    def _flush(self, *, everything: bool = False) -> None:
        """Write the buffers that are old or large enough; the largest too while all of them together are too large."""
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
    """An id as a response header, or None for one that cannot stand there."""
    if len(request_id) <= LONGEST_ID and request_id.isascii() and request_id.isprintable():
        return request_id.encode()
    return None


def _groups(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries of one model and day together, in the order of their arrival."""
    groups: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((id(entry.model), int(entry.time // 86400)), []).append(entry)
    return list(groups.values())


def _chunks(entries: Iterable[Entry], columns: int) -> Iterable[list[Piece]]:
    """Pieces to convert at once: few enough entries, and few enough rows, that it takes no longer than half a millisecond."""
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

"""The server's Prometheus metrics. With several workers, each worker reports the sums over all of them."""

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from threading import Lock
from time import time
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from stagewright.components.predictor.telemetry.counters import SharedCounters
from stagewright.components.predictor.telemetry.instruments import Counter, Gauge, Histogram, LabeledGauge, MetricDescription
from stagewright.components.predictor.wire.messages import Answer

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536)

_SECONDS_SUM, _ROWS_SUM = len(SECONDS) + 1, len(ROWS) + 1  # offset of a histogram's sum: after its buckets and +Inf

_REQUESTS = MetricDescription("stagewright_requests", "Requests answered, by HTTP status.", ("model", "protocol", "status"))
_REQUEST_SECONDS = MetricDescription(
    "stagewright_request_seconds", "Time from the request's first byte to its answer.", ("model", "protocol"), SECONDS
)
_PREDICTED = MetricDescription("stagewright_rows", "Rows predicted.", ("model",))
_INFERENCE = MetricDescription("stagewright_inference_seconds", "Time inside the model's graph.", ("model",), SECONDS)
_BATCH = MetricDescription(
    "stagewright_batch_rows", "Rows of one inference: those of all requests it answers.", ("model",), ROWS
)
_REJECTED = MetricDescription("stagewright_rejected", "Predictions refused: queue_full or deadline.", ("model", "reason"))
_QUEUED = MetricDescription("stagewright_queued_requests", "Predictions that wait for their inference.", ("model",))
_INFO = MetricDescription(
    "stagewright_model_info", "1 for the model that is served.", ("model", "version", "task", "framework"), shared="max"
)
_IN_FLIGHT = MetricDescription("stagewright_requests_in_flight", "Requests being answered now.")

Instrument = TypeVar("Instrument", Counter, Histogram, LabeledGauge)

_TIMES, _LAST = "times", "last_inference"  # reported by Triton's statistics only


class Times(NamedTuple):
    """Totals of a model's predictions. Times are seconds; `last` is milliseconds since 1970."""

    answered: float
    seconds: float
    queue: float
    convert: float
    infer: float
    encode: float
    failed: float
    failed_seconds: float
    last: float
    rows: float
    inferences: float


_EARLIEST, _SMALLEST = "process_start_time_seconds", "process_max_fds"


class Metrics(Collector):
    """Metrics of the server. All methods are thread-safe.

    Only predictions are labeled with the model's name. Probes, other requests and unknown names are counted under "".

    Args:
        counters: Storage of the numbers; by default private to this process.
    """

    def __init__(self, counters: SharedCounters | None = None) -> None:
        self._counters = counters or SharedCounters()
        self._instruments: dict[str, Counter | Histogram | LabeledGauge] = {}
        self._requests, self._seconds = self.counter(_REQUESTS), self.histogram(_REQUEST_SECONDS)
        self._rows, self._inference, self._batch = (
            self.counter(_PREDICTED), self.histogram(_INFERENCE), self.histogram(_BATCH),
        )  # fmt: skip
        self._rejected = self.counter(_REJECTED)
        self._queued, self._info = self.gauge(_QUEUED), self.gauge(_INFO)
        self.in_flight: Gauge = self.gauge(_IN_FLIGHT).labels()
        self._served: dict[str, Gauge] = {}
        # Each request updates several series at once. Cached indexes take half the time of separate instruments.
        self._answers: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._inferences: dict[str, tuple[int, int, int]] = {}
        self._times: dict[str, tuple[int, int]] = {}
        self._lock = Lock()
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def counter(self, described: MetricDescription) -> Counter:
        """Register a counter."""
        return self._add(described, Counter(self._counters, described))

    def histogram(self, described: MetricDescription) -> Histogram:
        """Register a histogram."""
        return self._add(described, Histogram(self._counters, described))

    def gauge(self, described: MetricDescription) -> LabeledGauge:
        """Register a gauge."""
        return self._add(described, LabeledGauge(self._counters, described))

    def loaded(self, name: str, *, version: str, task: str, framework: str) -> None:
        """Record the model that is served under a name. It replaces the previous one."""
        self.unloaded(name)
        gauge = self._info.labels(name, version, task, framework)
        gauge.set(1.0)
        self._served[name] = gauge

    def unloaded(self, name: str) -> None:
        """Record that a model is no longer served."""
        if name in self._served:
            self._served.pop(name).set(0.0)

    def answered(self, model: str, protocol: str, status: int, seconds: float) -> None:
        """Count one request and how long it took."""
        places = self._answers.get((model, protocol, status))
        if places is None:
            places = self._requests.place(model, protocol, str(status)), self._seconds.place(model, protocol)
            self._answers[model, protocol, status] = places
        requests, buckets = places
        numbers = self._counters.numbers
        with self._lock:
            numbers[requests] += 1.0
            numbers[buckets + bisect_left(SECONDS, seconds)] += 1.0
            numbers[buckets + _SECONDS_SUM] += seconds

    def inferred(self, model: str, started: float, waiting: float, moments: tuple[float, float, float], done: float) -> None:
        """Record the duration of each part of a successful prediction. All times are values of `perf_counter`.

        Args:
            started: Arrival of the request.
            waiting: End of decoding; the request enters the queue.
            moments: Start of its batch, end of conversion, end of inference.
            done: End of encoding.
        """
        begun, converted, answered = moments
        parts = (begun - waiting, waiting - started + converted - begun, answered - converted, done - answered)
        place, last = self._times_of(model)
        numbers = self._counters.numbers
        with self._lock:
            numbers[place] += 1.0
            numbers[place + 1] += done - started
            for at, seconds in enumerate(parts, place + 2):
                numbers[at] += max(0.0, seconds)
            numbers[last] = time() * 1000

    def failed(self, model: str, seconds: float) -> None:
        """Count a failed prediction and its duration in seconds."""
        place, _ = self._times_of(model)
        with self._lock:
            self._counters.numbers[place + 6] += 1.0
            self._counters.numbers[place + 7] += seconds

    def times(self, models: Iterable[str]) -> dict[str, Times]:
        """Totals by model, over all processes."""
        sums = self._counters.sums()

        def of(name: str, model: str, count: int) -> list[float]:
            return sums.get((name, (model,)), [0.0] * count)

        inferences = len(SECONDS) + 2
        return {
            model: Times._make([
                *of(_TIMES, model, 8), *of(_LAST, model, 1), *of(_PREDICTED.name, model, 1),
                sum(of(_INFERENCE.name, model, inferences)[:_SECONDS_SUM]),
            ])
            for model in models
        }  # fmt: skip

    def predicted(self, model: str, rows: int, seconds: float) -> None:
        """Count the rows of one inference and how long it took."""
        places = self._inferences.get(model)
        if places is None:
            places = self._rows.place(model), self._inference.place(model), self._batch.place(model)
            self._inferences[model] = places
        total, buckets, batches = places
        numbers = self._counters.numbers
        with self._lock:
            numbers[total] += rows
            numbers[buckets + bisect_left(SECONDS, seconds)] += 1.0
            numbers[buckets + _SECONDS_SUM] += seconds
            numbers[batches + bisect_left(ROWS, rows)] += 1.0
            numbers[batches + _ROWS_SUM] += rows

    def rejected(self, model: str, reason: str) -> None:
        """Count a prediction that was rejected because of a full queue or its deadline.

        Args:
            reason: queue_full or deadline.
        """
        self._rejected.add(model, reason)

    def queued(self, model: str, requests: int) -> None:
        """Record the number of queued predictions."""
        self._queued.labels(model).set(requests)

    def exposition(self) -> Answer:
        """The response to GET /metrics."""
        return Answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST.encode())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, summed over the processes. The Prometheus registry calls this method."""
        by_name: dict[str, dict[tuple[str, ...], list[float]]] = defaultdict(dict)
        for (name, labels), numbers in sorted(self._counters.sums().items()):
            by_name[name][labels] = numbers
        for name, instrument in self._instruments.items():
            yield instrument.family(by_name[name])
        yield from _processes(self._counters.pids() or [os.getpid()])

    def _times_of(self, model: str) -> tuple[int, int]:
        places = self._times.get(model)
        if places is None:
            places = self._counters.place(_TIMES, (model,), 8), self._counters.place(_LAST, (model,), shared="max")
            self._times[model] = places
        return places

    def _add(self, described: MetricDescription, instrument: Instrument) -> Instrument:
        self._instruments[described.name] = instrument
        return instrument


def _processes(pids: Iterable[int]) -> Iterator[Metric]:
    """Yield memory, CPU time and open files, summed over all processes."""
    together: dict[str, Metric] = {}
    for pid in pids:
        for metric in ProcessCollector(registry=None, pid=partial(int, pid)).collect():
            before = together.setdefault(metric.name, metric)
            if before is not metric:
                before.samples = [_joined(a, b) for a, b in zip(before.samples, metric.samples, strict=True)]
    yield from together.values()


def _joined(a: Sample, b: Sample) -> Sample:
    value = min(a.value, b.value) if a.name in (_EARLIEST, _SMALLEST) else a.value + b.value
    return a._replace(value=value)

"""Counts, levels and distributions whose numbers lie in shared memory. Each may be used from any thread."""

from bisect import bisect_left
from threading import Lock
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from stagewright.components.predictor.telemetry.counters import SharedCounters


class MetricDescription(NamedTuple):
    """A metric: its name without the suffixes that Prometheus adds, and what it tells.

    Attributes:
        bounds: Upper bounds of a distribution's buckets, ascending; the one without an end comes by itself.
        shared: How a gauge of several processes is put together: "sum", or "max" where all say the same.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    shared: str = "sum"


class Counter:
    """A number by label values that only grows."""

    def __init__(self, counters: SharedCounters, described: MetricDescription) -> None:
        self._counters, self._described, self._lock = counters, described, Lock()
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *labels: str) -> int:
        """Where the number of these labels is."""
        place = self._places.get(labels)
        if place is None:
            place = self._places[labels] = self._counters.place(self._described.name, labels)
        return place

    def add(self, *labels: str, by: float = 1.0) -> None:
        place = self.place(*labels)
        with self._lock:
            self._counters.numbers[place] += by

    def family(self, series: dict[tuple[str, ...], list[float]]) -> Metric:
        """As Prometheus wants it."""
        family = CounterMetricFamily(self._described.name, self._described.text, labels=self._described.labels)
        for labels, numbers in series.items():
            family.add_metric(labels, numbers[0])
        return family


class Histogram:
    """How often values fell into each bucket, and their sum, by label values."""

    def __init__(self, counters: SharedCounters, described: MetricDescription) -> None:
        self._counters, self._described, self._lock = counters, described, Lock()
        self._bounds = described.bounds
        self._sum = len(self._bounds) + 1
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *labels: str) -> int:
        """Where the buckets of these labels begin; their sum follows them."""
        place = self._places.get(labels)
        if place is None:
            place = self._places[labels] = self._counters.place(self._described.name, labels, self._sum + 1)
        return place

    def add(self, value: float, *labels: str) -> None:
        place = self.place(*labels)
        numbers = self._counters.numbers
        with self._lock:
            numbers[place + bisect_left(self._bounds, value)] += 1.0
            numbers[place + self._sum] += value

    def family(self, series: dict[tuple[str, ...], list[float]]) -> Metric:
        """As Prometheus wants it: each bucket with all below it."""
        family = HistogramMetricFamily(self._described.name, self._described.text, labels=self._described.labels)
        bounds = [*(floatToGoString(bound) for bound in self._bounds), "+Inf"]
        for labels, numbers in series.items():
            below, buckets = 0.0, []
            for bound, number in zip(bounds, numbers, strict=False):
                below += number
                buckets.append((bound, below))
            family.add_metric(labels, buckets, numbers[self._sum])
        return family


class Gauge:
    """A number that goes up and down, for one set of label values."""

    def __init__(self, counters: SharedCounters, place: int) -> None:
        self._numbers, self._place, self._lock = counters.numbers, place, Lock()

    def inc(self, by: float = 1.0) -> None:
        with self._lock:
            self._numbers[self._place] += by

    def dec(self, by: float = 1.0) -> None:
        self.inc(-by)

    def set(self, value: float) -> None:
        self._numbers[self._place] = value


class LabeledGauge:
    """Numbers that go up and down, by label values; what a process left behind when it ended counts as 0."""

    def __init__(self, counters: SharedCounters, described: MetricDescription) -> None:
        self._counters, self._described = counters, described
        self._gauges: dict[tuple[str, ...], Gauge] = {}
        counters.reset(described.name)

    def labels(self, *labels: str) -> Gauge:
        gauge = self._gauges.get(labels)
        if gauge is None:
            place = self._counters.place(self._described.name, labels, shared=self._described.shared)
            gauge = self._gauges[labels] = Gauge(self._counters, place)
        return gauge

    def family(self, series: dict[tuple[str, ...], list[float]]) -> Metric:
        """As Prometheus wants it; where every process says the same, what none says any more is left out."""
        family = GaugeMetricFamily(self._described.name, self._described.text, labels=self._described.labels)
        for labels, numbers in series.items():
            if numbers[0] or self._described.shared == "sum":
                family.add_metric(labels, numbers[0])
        return family

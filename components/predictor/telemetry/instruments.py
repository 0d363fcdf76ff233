"""Counters, gauges and histograms in shared memory. All are thread-safe."""

from bisect import bisect_left
from threading import Lock
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from stagewright.components.predictor.telemetry.counters import SharedCounters


class MetricDescription(NamedTuple):
    """Name, help text and labels of a metric. The name has no suffix; Prometheus adds it.

    Attributes:
        bounds: Upper bounds of a histogram's buckets, ascending, without +Inf.
        shared: How a gauge of several processes is combined: "sum", or "max" if all processes report the same value.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    shared: str = "sum"


class Counter:
    """A monotonic counter for each set of label values."""

    def __init__(self, counters: SharedCounters, described: MetricDescription) -> None:
        self._counters, self._described, self._lock = counters, described, Lock()
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *labels: str) -> int:
        """Index of the number for these labels."""
        place = self._places.get(labels)
        if place is None:
            place = self._places[labels] = self._counters.place(self._described.name, labels)
        return place

    def add(self, *labels: str, by: float = 1.0) -> None:
        place = self.place(*labels)
        with self._lock:
            self._counters.numbers[place] += by

    def family(self, series: dict[tuple[str, ...], list[float]]) -> Metric:
        """The Prometheus metric family."""
        family = CounterMetricFamily(self._described.name, self._described.text, labels=self._described.labels)
        for labels, numbers in series.items():
            family.add_metric(labels, numbers[0])
        return family


class Histogram:
    """A histogram for each set of label values: counts by bucket, and the sum."""

    def __init__(self, counters: SharedCounters, described: MetricDescription) -> None:
        self._counters, self._described, self._lock = counters, described, Lock()
        self._bounds = described.bounds
        self._sum = len(self._bounds) + 1
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *labels: str) -> int:
        """Index of the first bucket for these labels. The sum follows the buckets."""
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
        """The Prometheus metric family, with cumulative buckets."""
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
    """A gauge for one set of label values."""

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
    """A gauge for each set of label values. Values of a previous process are reset to 0."""

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
        """The Prometheus metric family. With shared="max", label sets whose value is 0 are left out."""
        family = GaugeMetricFamily(self._described.name, self._described.text, labels=self._described.labels)
        for labels, numbers in series.items():
            if numbers[0] or self._described.shared == "sum":
                family.add_metric(labels, numbers[0])
        return family

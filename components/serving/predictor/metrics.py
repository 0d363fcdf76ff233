"""Prometheus metrics of one process."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stagewright.components.serving.predictor.messages import Answer
from stagewright.components.serving.predictor.model import OnnxModel

disable_created_metrics()  # a time of birth for each series doubles what is scraped and is read by nobody
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What the server counts.

    Requests have the model's name if they ask it to predict; probes, questions, and names that clients make up count under "".
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ["model", "protocol"]
        self._requests = Counter(
            "stagewright_requests", "Requests answered, by HTTP status.", [*labels, "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "stagewright_request_seconds", "Time from the request's first byte to its answer.", labels,
            registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self._rows = Counter("stagewright_rows", "Rows predicted.", ["model"], registry=self.registry)
        self._inference = Histogram(
            "stagewright_inference_seconds",
            "Time inside the model's graph.",
            ["model"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self._info = Gauge(
            "stagewright_model_info", "1 for the model that is loaded.", ["model", "version", "task", "framework"],
            registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge("stagewright_requests_in_flight", "Requests being answered now.", registry=self.registry)

    def loaded(self, model: OnnxModel) -> None:
        """Record which model is served."""
        signature = model.signature
        self._info.labels(model.name, model.version or "", signature.task, signature.framework or "").set(1)

    def answered(self, model: str, protocol: str, status: int, seconds: float) -> None:
        """Count one request and how long it took."""
        self._requests.labels(model, protocol, str(status)).inc()
        self._seconds.labels(model, protocol).observe(seconds)

    def predicted(self, model: str, rows: int, seconds: float) -> None:
        """Count the rows of one inference and how long it took."""
        self._rows.labels(model).inc(rows)
        self._inference.labels(model).observe(seconds)

    def answer(self) -> Answer:
        """The metrics as Prometheus reads them."""
        return Answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST.encode())

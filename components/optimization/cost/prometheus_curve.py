"""What replicas bear in production, from Prometheus instead of a measurement: load, p99, CPU and memory as they were seen."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any
from urllib.parse import urlencode

import polars as pl
import urllib3

from stagewright.components.measurement.capacity import Curve, Sample, largest
from stagewright.components.measurement.replica import Size
from stagewright.components.optimization.cost.load_trace import RATE, TIME, Trace, from_samples
from stagewright.components.runtime.answers import json_object, read_body
from stagewright.components.runtime.documents import Unreadable
from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable, did_you_mean

TIMEOUT_SECONDS = 30.0
STEP_SECONDS = 300.0
FEWEST_POINTS = 20
LARGEST_ANSWER = 16 * 2**20  # bytes; a series of 10,000 points has less than one million
MOST_POINTS = 10_000  # Prometheus refuses more than 11,000 in one answer
_SERVED = 'stagewright_requests_total{model="$model"}'
_BUCKETS = 'stagewright_request_seconds_bucket{model="$model"}'
QUERIES: Mapping[str, str] = {
    "requests": f"sum(rate({_SERVED}[$window]))",
    "replicas": f"count(count by (instance) ({_SERVED}))",
    "p99_ms": f"1000 * histogram_quantile(0.99, sum by (le) (rate({_BUCKETS}[$window])))",
    "cpus": f"sum(rate(process_cpu_seconds_total[$window]) and on (instance) {_SERVED})",
    "memory": f"max(process_resident_memory_bytes and on (instance) {_SERVED})",
}


@dataclass(frozen=True, slots=True)
class Observed:
    """What Prometheus has seen of a service: what its replicas bore, the load there was, and the fewest and most replicas."""

    curve: Curve
    trace: Trace
    replicas: tuple[int, int]


def observe(
    address: str,
    model: str,
    *,
    cpus: float,
    objective_ms: float,
    queries: Mapping[str, str] | None = None,
    hours: float = 168.0,
    step_seconds: float | None = None,
    now: datetime | None = None,
) -> Observed:
    """The curve of a service from its metrics.

    Args:
        address: Prometheus: http://HOST:PORT.
        model: The model's name in the metrics.
        cpus: What a replica's limit is; metrics do not tell.
        queries: PromQL in place of QUERIES, by the same names; $model and $window are filled in.
        hours: How far to look back.
        step_seconds: Distance of the points, and the window of rates; by default five minutes, or less for a short look back.

    Raises:
        BadParameter: For a query of an unknown name.
        InputError: If Prometheus refuses a query or has seen nothing of the model.
        ServiceUnavailable: If it does not answer.
    """
    step = max(step_seconds or min(STEP_SECONDS, hours * 3600 / FEWEST_POINTS), hours * 3600 / MOST_POINTS)
    asked = _queries(queries or {}, model, step)
    end = now or datetime.now(UTC)
    span = {"start": (end - timedelta(hours=hours)).timestamp(), "end": end.timestamp(), "step": step}
    series = {name: _range(address, query, span) for name, query in asked.items()}
    samples = _samples(series, objective_ms)
    if not samples:
        raise InputError(
            f"Prometheus at {address} has seen no request to model '{model}' in the last {hours:g} hours; check the model's "
            "name and that its metrics are scraped, or give queries of your own"
        )
    best = largest(samples)
    memory = max(series["memory"].values(), default=0.0)
    size = Size(
        cpus, best.answered if best else 0.0, best.p99_ms if best else float("nan"),
        min(1.0, best.cpus / cpus) if best else 0.0, int(memory),
    )  # fmt: skip
    exceeded = best is None or any(not sample.met and sample.answered >= best.answered for sample in samples)
    fastest = max(sample.answered for sample in samples)
    table = pl.DataFrame(
        {TIME: [datetime.fromtimestamp(at, UTC) for at in series["requests"]], RATE: list(series["requests"].values())}
    )
    curve = Curve(size, f"Prometheus, the last {hours:g} hours", tuple(samples), fastest, None, exceeded)
    counts = [int(count) for count in series["replicas"].values() if count >= 1]
    return Observed(curve, from_samples(table, f"Prometheus at {address}"), (min(counts), max(counts)))


def _samples(series: Mapping[str, Mapping[float, float]], objective_ms: float) -> list[Sample]:
    """One a moment, per replica, ascending by load; moments without a request say nothing."""
    found = []
    for at, rate in series["requests"].items():
        p99, replicas = series["p99_ms"].get(at), series["replicas"].get(at, 0.0)
        if rate > 0 and replicas >= 1 and p99 is not None:
            each = rate / replicas
            found.append(Sample(each, each, math.nan, p99, series["cpus"].get(at, 0.0) / replicas, p99 <= objective_ms))
    return sorted(found, key=lambda sample: sample.rate)


def _queries(given: Mapping[str, str], model: str, step_seconds: float) -> dict[str, str]:
    for name in given:
        if name not in QUERIES:
            expected = f"queries by the names {', '.join(QUERIES)}{did_you_mean(name, QUERIES)}"
            raise BadParameter("queries", got=name, expected=expected)
    filled = {"model": json.dumps(model)[1:-1], "window": f"{max(1, round(step_seconds))}s"}
    return {name: Template(query).safe_substitute(filled) for name, query in {**QUERIES, **given}.items()}


def _range(address: str, query: str, span: Mapping[str, float]) -> dict[float, float]:
    """A query's values by time; a query that gives several series has to sum them itself."""
    document = _get(address, "/api/v1/query_range", {"query": query, **span})
    try:
        result = document.get("result", [])
        values = result[0]["values"] if result else []
        found = {float(at): float(value) for at, value in values}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(f"what answers at {address} is no Prometheus: the query {query} gives no series of numbers") from None
    if len(result) > 1:
        raise InputError(f"the query {query} gives {len(result)} series; expected one, so sum or average them")
    return {at: value for at, value in found.items() if math.isfinite(value)}


def _get(address: str, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    url = f"{address.rstrip('/')}{path}?{urlencode(arguments)}"
    with urllib3.PoolManager(retries=urllib3.Retry(connect=1, read=1, redirect=2, status=0)) as pool:
        try:
            answer = pool.request("GET", url, timeout=TIMEOUT_SECONDS, preload_content=False)
            body = read_body(answer, most=LARGEST_ANSWER)
        except urllib3.exceptions.LocationParseError:
            raise BadParameter("prometheus", got=address, expected="an address such as http://HOST:9090") from None
        except urllib3.exceptions.HTTPError as error:
            reason = str(getattr(error, "reason", None) or error).rsplit(">: ", 1)[-1]
            raise ServiceUnavailable(f"Prometheus at {address} does not answer: {reason}") from None
        except Unreadable as error:
            raise InputError(
                f"Prometheus at {address} answers with {error}; check the address, or ask for fewer points"
            ) from None
    document = json_object(body) or {}
    data = document.get("data")
    if document.get("status") != "success" or not isinstance(data, dict):
        said = document.get("error") or f"status {answer.status}"
        raise InputError(f"Prometheus at {address} refuses a query: {said}")
    return data

"""The cheapest way to serve a model within an objective: measured sizes, a load, prices, and what to change."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagewright.components.optimization import served
from stagewright.components.optimization.cost import capacity, load_trace, prices, prometheus_curve, sizing
from stagewright.components.optimization.cost.capacity import Curve
from stagewright.components.optimization.cost.cpu_limit import cpus_of, quantity_of
from stagewright.components.optimization.cost.load_trace import Trace
from stagewright.components.optimization.cost.prices import Prices
from stagewright.components.optimization.cost.result import Cost, Wanted
from stagewright.components.optimization.cost.service_patch import Present, Recommendation, merged, patch, present
from stagewright.components.optimization.cost.sizing import Plan, ScaleToZero
from stagewright.components.optimization.model_rows import ModelRows
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import BadParameter, GateFailed
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.serving_settings import FILE, ServingSettings
from stagewright.components.serving.predictor import cpu


def optimize_cost(
    model: str | Path,
    *,
    name: str,
    trace: str = "",
    data: str = "",
    wanted: Wanted | None = None,
    price_table: Mapping[str, Any] | None = None,
    current: str = "",
    sampled: float = 1.0,
    prometheus: str = "",
    queries: Mapping[str, str] | None = None,
    hours: float = 168.0,
) -> Cost:
    """Find the cheapest service for a load.

    Args:
        model: An exported model's folder; a published variant will do.
        name: The service's name.
        trace: See load_trace.read; with prometheus, nothing takes the load that it has seen.
        data: Rows to ask for; by default the model's own baseline.
        price_table: See prices.read.
        current: See service_patch.present.
        sampled: Share of the requests that a payload log given as trace holds.
        prometheus: Address; what replicas bear is then read from there and not measured here.
        queries: PromQL in place of our own; see prometheus_curve.
        hours: How far Prometheus is asked back.

    Raises:
        InputError: If something given cannot be used.
        ServiceUnavailable: If Prometheus does not answer.
    """
    wanted = wanted or Wanted()
    wanted.check()
    model_name(name)
    paid, now = prices.read(price_table or {}), present(current)
    skipped: dict[str, str] = {}
    if prometheus:
        given = load_trace.read(trace, sampled=sampled) if trace else None
        observed = prometheus_curve.observe(
            prometheus, name, cpus=_limit(now), objective_ms=wanted.objective_ms, queries=queries, hours=hours
        )
        return _decide(name, wanted, paid, given or observed.trace, [observed.curve], now, skipped)
    load = load_trace.read(trace, sampled=sampled)
    curves = _measured(Path(model), data, now, wanted, skipped)
    return _decide(name, wanted, paid, load, curves, now, skipped)


def check(found: Cost) -> None:
    """Fail where no size meets the objective.

    Raises:
        GateFailed: Saying which were tried.
    """
    if found.failures:
        raise GateFailed(f"the cost of model '{found.name}'", found.failures)


def _measured(model: Path, data: str, now: Present, wanted: Wanted, skipped: dict[str, str]) -> list[Curve]:
    """A curve for every limit that this machine can measure, and for what the present service can rely on."""
    rows = ModelRows.load(model, data)
    requests = rows.requests(served.NAME)
    asked = {cpus_of(limit) for limit in wanted.cpu_limits}
    if min(asked) > cpu.available():
        expected = f"limits up to the {cpu.available()} CPUs of this machine"
        raise BadParameter("cpu_limits", got=list(wanted.cpu_limits), expected=expected)
    curves = []
    with progress("measuring sizes", total=len(asked | {now.cpus}), unit="sizes") as advance:
        for cpus in sorted(asked | {now.cpus}):
            if cpus > cpu.available():
                skipped[quantity_of(cpus)] = f"this machine has {cpu.available()} CPUs"
                continue
            curves.append(
                capacity.measure(
                    model, requests, cpus=cpus, objective_ms=wanted.objective_ms, seconds=wanted.seconds, rounds=wanted.rounds,
                    options=_options(model, cpus),
                )
            )  # fmt: skip
            logs.event("size_measured", cpus=cpus, capacity=round(curves[-1].size.capacity, 1), how=curves[-1].how)
            advance()
    return curves


def _options(model: Path, cpus: float) -> list[str]:
    """What the predictor would find in a container of this size by itself; here it sees the whole machine."""
    path = model / SERVING / FILE
    settings = ServingSettings.parse(path.read_bytes(), str(path)) if path.is_file() else ServingSettings()
    return [] if settings.threads else ["--threads", str(math.ceil(cpus))]


def _limit(now: Present) -> float:
    """CPUs that a replica may use, for what was seen of it."""
    model = (now.document or {}).get("spec", {}).get("predictor", {}).get("model", {})
    limit = model.get("resources", {}).get("limits", {}).get("cpu")
    return cpus_of(str(limit)) if limit else max(1.0, now.cpus)


def _decide(
    name: str, wanted: Wanted, paid: Prices, load: Trace, curves: Sequence[Curve], now: Present, skipped: dict[str, str]
) -> Cost:
    asked = {cpus_of(limit) for limit in wanted.cpu_limits} if len(curves) > 1 else {curves[0].size.cpus}
    able = [curve for curve in curves if curve.size.capacity > 0]
    plans = [sizing.plan(curve.size, load, paid, headroom=wanted.headroom) for curve in able if curve.size.cpus in asked]
    current = _now(now, able, load, paid)
    if not plans:
        return Cost(name, wanted, paid, load, list(curves), [], current, None, None, None, skipped=skipped)
    best = sizing.cheapest(plans)
    cold = next((curve.cold_start_seconds for curve in able if curve.size == best.size), None)
    zero = None
    if cold is not None:
        zero = sizing.scale_to_zero(best.size, load, paid, cold_start_seconds=cold + wanted.pod_start_seconds)
    found = _recommend(best, zero, wanted)
    change = patch(name, wanted.namespace, found)
    patched = None
    if now.document:
        about = {**change, "metadata": {"annotations": change["metadata"].get("annotations", {})}}
        patched = merged(now.document, about)
    return Cost(name, wanted, paid, load, list(curves), plans, current, best, zero, found, change, patched, skipped)


def _now(now: Present, curves: Sequence[Curve], load: Trace, paid: Prices) -> Plan | None:
    """The present service over the trace: its own requests and replicas, and the capacity that these can rely on."""
    own = next((curve.size for curve in curves if curve.size.cpus == now.cpus), None)
    if own is None and len(curves) == 1:  # seen in production, not measured
        own = curves[0].size
    if own is None:
        return None
    replicas = tuple(
        min(max(1, now.most), sizing.replicas_for(hour.peak, own.capacity, 0.0, least=max(1, now.least))) for hour in load.hours
    )
    cost = sum(replicas) * paid.replica_hour(now.cpus, now.gib)
    short = sum(hour.peak > count * own.capacity for hour, count in zip(load.hours, replicas, strict=True))
    month = cost / len(load.hours) * prices.HOURS_A_MONTH
    return Plan(own, replicas, cost, cost / load.requests * sizing.MILLION, month, short)


def _recommend(best: Plan, zero: ScaleToZero | None, wanted: Wanted) -> Recommendation:
    least, most = min(best.replicas), max(best.replicas)
    may_sleep = wanted.mode == "Knative" and zero is not None and zero.pays
    if may_sleep and zero is not None and zero.cold_start_seconds <= wanted.longest_wait_seconds:
        least = 0
    size = best.size
    metric, target = "", 0
    if wanted.mode == "Knative":
        metric, target = "rps", sizing.rate_target(size, wanted.headroom)
    elif most > least:
        metric, target = "cpu", sizing.cpu_target(size, wanted.headroom)
    return Recommendation(size.cpus, size.memory_request, size.memory_limit, least, most, wanted.mode, metric, target)

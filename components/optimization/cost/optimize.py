"""The cheapest way to serve a model within an objective: measured sizes, a load, prices, and what to change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stagewright.components.measurement.capacity import Curve
from stagewright.components.measurement.cpu_limit import cpus_of, quantity_of
from stagewright.components.measurement.replica import GIB
from stagewright.components.optimization.cost import load_trace, prices, prometheus_curve, sizing
from stagewright.components.optimization.cost.load_trace import Trace
from stagewright.components.optimization.cost.measured import Measured, curves, measure, sizes
from stagewright.components.optimization.cost.prices import Prices
from stagewright.components.optimization.cost.result import Cost, Objective
from stagewright.components.optimization.cost.service_patch import Present, Recommendation, merged, patch, present
from stagewright.components.optimization.cost.sizing import Plan, ScaleToZero
from stagewright.components.runtime.errors import BadParameter, GateFailed
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.progress import progress


def optimize_cost(
    model: str | Path,
    *,
    name: str,
    trace: str = "",
    data: str = "",
    objective: Objective | None = None,
    price_table: Mapping[str, Any] | None = None,
    current: str = "",
    sampled: float = 1.0,
    prometheus: str = "",
    queries: Mapping[str, str] | None = None,
    hours: float = 168.0,
    measured: Sequence[Measured] = (),
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
        measured: What `measured.measure` found for each size; nothing measures them here, one after another.

    Raises:
        InputError: If something given cannot be used, or no size could be measured.
        ServiceUnavailable: If Prometheus does not answer.
    """
    objective = objective or Objective()
    objective.check()
    model_name(name)
    paid, now = prices.read(price_table or {}), present(current)
    if prometheus:
        given = load_trace.read(trace, sampled=sampled) if trace else None
        observed = prometheus_curve.observe(
            prometheus, name, cpus=_limit(now), objective_ms=objective.objective_ms, queries=queries, hours=hours
        )
        if not current:  # the replicas that were there are the present ones
            now = replace(now, least=observed.replicas[0], most=observed.replicas[1])
        return _decide(name, objective, paid, given or observed.trace, [observed.curve], now, {})
    load = load_trace.read(trace, sampled=sampled)
    found, skipped = curves(measured or _all_here(Path(model), data, now, objective))
    if not {quantity_of(cpus_of(limit)) for limit in objective.cpu_limits} - set(skipped):
        expected = f"at least one size that can be measured: {'; '.join(skipped.values())}"
        raise BadParameter("cpu_limits", got=list(objective.cpu_limits), expected=expected)
    return _decide(name, objective, paid, load, found, now, skipped)


def plan(
    *,
    name: str,
    trace: str = "",
    objective: Objective | None = None,
    price_table: Mapping[str, Any] | None = None,
    current: str = "",
    sampled: float = 1.0,
    prometheus: str = "",
) -> list[str]:
    """The sizes to measure, ascending, as Kubernetes quantities; with prometheus the present one, which then is not measured.

    Raises:
        InputError: If something given cannot be used, before anything is measured.
    """
    objective = objective or Objective()
    objective.check()
    model_name(name)
    prices.read(price_table or {})
    now = present(current)
    if trace or not prometheus:
        load_trace.read(trace, sampled=sampled)
    return [quantity_of(now.cpus)] if prometheus else sizes(objective, now)


def check(found: Cost) -> None:
    """Fail where no size meets the objective.

    Raises:
        GateFailed: Saying which were tried.
    """
    if found.failures:
        raise GateFailed(f"the cost of model '{found.name}'", found.failures)


def _all_here(model: Path, data: str, now: Present, objective: Objective) -> list[Measured]:
    """Every size, measured on this machine one after another."""
    asked = sizes(objective, now)
    found = []
    with progress("measuring sizes", total=len(asked), unit="sizes") as advance:
        for cpus in asked:
            found.append(measure(model, cpus, objective, data=data))
            advance()
    return found


def _limit(now: Present) -> float:
    """CPUs that a replica may use, for what was seen of it."""
    model = (now.document or {}).get("spec", {}).get("predictor", {}).get("model", {})
    limit = model.get("resources", {}).get("limits", {}).get("cpu")
    return cpus_of(str(limit)) if limit else max(1.0, now.cpus)


def _decide(
    name: str, objective: Objective, paid: Prices, load: Trace, found: Sequence[Curve], now: Present, skipped: dict[str, str]
) -> Cost:
    able = [curve for curve in found if curve.size.capacity > 0]
    plans = [sizing.plan(curve.size, load, paid, headroom=objective.headroom) for curve in able]
    current = _now(now, able, load, paid)
    if not plans:
        return Cost(name, objective, paid, load, list(found), [], current, None, None, None, skipped=skipped)
    best, kept = _best(plans, current)
    cold = next((curve.cold_start_seconds for curve in able if curve.size == best.size), None)
    zero = None
    if cold is not None:
        zero = sizing.scale_to_zero(best.size, load, paid, cold_start_seconds=cold + objective.pod_start_seconds)
    recommended = _recommend(best, zero, objective, now if kept else None)
    change = patch(name, objective.namespace, recommended)
    patched = None
    if now.document:
        about = {**change, "metadata": {"annotations": change["metadata"].get("annotations", {})}}
        patched = merged(now.document, about)
    return Cost(
        name, objective, paid, load, list(found), plans, current, best, zero, recommended, change, patched, skipped, kept
    )  # fmt: skip


def _best(plans: Sequence[Plan], current: Plan | None) -> tuple[Plan, bool]:
    """The cheapest plan, and whether it is the present service: where that bears the load, nothing larger takes its place."""
    enough = sizing.sufficient(plans)
    if current is None or current.short_hours:
        return sizing.cheapest(enough), False
    smaller = sizing.within(enough, current)
    return (sizing.cheapest(smaller), False) if smaller else (current, True)


def _now(now: Present, found: Sequence[Curve], load: Trace, paid: Prices) -> Plan | None:
    """The present service over the trace: its own requests and replicas, and the capacity that these can rely on."""
    own = next((curve.size for curve in found if quantity_of(curve.size.cpus) == quantity_of(now.cpus)), None)
    if own is None and len(found) == 1 and found[0].cold_start_seconds is None:  # seen in production, not measured
        own = found[0].size
    if own is None:
        return None
    replicas = tuple(
        min(max(1, now.most), sizing.replicas_for(hour.peak, own.capacity, 0.0, least=max(1, now.least))) for hour in load.hours
    )
    cost = sum(replicas) * paid.replica_hour(now.cpus, now.gib)
    short = sum(hour.peak > count * own.capacity for hour, count in zip(load.hours, replicas, strict=True))
    month = cost / len(load.hours) * prices.HOURS_A_MONTH
    return Plan(own, replicas, cost, cost / load.requests * sizing.MILLION, month, short)


def _recommend(best: Plan, zero: ScaleToZero | None, objective: Objective, kept: Present | None) -> Recommendation:
    least, most = min(best.replicas), max(best.replicas)
    may_sleep = objective.mode == "Knative" and zero is not None and zero.pays
    if may_sleep and zero is not None and zero.cold_start_seconds <= objective.longest_wait_seconds:
        least = 0
    size = best.size
    metric, target = "", 0
    if objective.mode == "Knative":
        metric, target = "rps", sizing.rate_target(size, objective.headroom)
    elif most > least:
        metric, target = "cpu", sizing.cpu_target(size, objective.headroom)
    if kept is None:
        return Recommendation(size.cpus, size.memory_request, size.memory_limit, least, most, objective.mode, metric, target)
    # Memory may become less, and becomes more only where less was asked for than was seen to be held.
    requested, limit = size.memory_request, size.memory_limit
    if size.memory_bytes <= int(kept.gib * GIB):
        requested = min(requested, int(kept.gib * GIB))
    if size.memory_bytes <= kept.memory_limit:
        limit = max(requested, min(limit, kept.memory_limit))
    return Recommendation(kept.cpus, requested, limit, least, most, objective.mode, metric, target, kept.cpu_limit)

"""The cost of serving as a page to look at."""

import math
from typing import Any

from stagewright.components.measurement.cpu_limit import quantity_of
from stagewright.components.measurement.replica import MIB
from stagewright.components.optimization.cost import plots
from stagewright.components.optimization.cost.result import Cost
from stagewright.components.optimization.cost.sizing import Plan
from stagewright.components.runtime import report
from stagewright.components.runtime.report import Page
from stagewright.components.runtime.yaml_text import to_yaml


def page(found: Cost) -> Page:
    """The report: verdict, key figures, what sizes bear, what they cost, the load, scaling to zero, the patch, the method."""
    objective = found.objective
    made = Page(
        f"What {found.name} costs", f"objective: p99 within {objective.objective_ms:g} ms · load: {found.trace.source} · "
        f"prices: {found.prices.source}",
    )  # fmt: skip
    _verdict(made, found)
    if found.best is not None:
        made.tiles(_tiles(found, found.best))
    made.section("What each size bears", *_curves(found))
    if found.best is not None:
        made.section("What each size costs", *_plans(found, found.best))
        made.section("Scaling to zero", *_zero(found))
        made.section("The change", *_patch(found))
    made.section("How this was found", report.bullets(_method(found)))
    return made


def _verdict(made: Page, found: Cost) -> None:
    best, now = found.best, found.now
    if best is None:
        made.banner("No size meets the objective", report.bullets(found.failures), good=False)
        return
    replicas = _count(found.recommendation.least if found.recommendation else 1, max(best.replicas))
    if found.kept:
        told = (
            "The present service bears this load, and nothing smaller was found that does. Its CPU and replicas stay"
            + ("" if _roomy(found, best) else f", with less room than the {found.objective.headroom:.0%} that is asked for")
            + "."
        )
        kept = f"The present service stays: {replicas} of {quantity_of(best.size.cpus)} CPU"
        made.banner(kept, report.paragraph(told), good=True)
        return
    chosen = f"{replicas} of {quantity_of(best.size.cpus)} CPU: {_money(best.cost_per_million, found)} a million predictions"
    if now is None or found.savings is None:
        made.banner(chosen, good=True)
        return
    if now.short_hours:
        told = (
            f"The present service falls short of the objective in {now.short_hours} of {len(found.trace.hours)} hours. "
            f"Meeting it costs {_money(best.cost_a_month, found)} a month, against {_money(now.cost_a_month, found)} now."
        )
    else:
        told = (
            f"{found.savings:.0%} less than the present service, {_money(now.cost_a_month - best.cost_a_month, found)} a month."
        )
    made.banner(chosen, report.paragraph(told), good=True)


def _roomy(found: Cost, best: Plan) -> bool:
    """Whether the replicas that stay have the headroom that is asked for, in every hour."""
    peaks = [hour.peak * (1 + found.objective.headroom) for hour in found.trace.hours]
    return all(count * best.size.capacity >= peak for count, peak in zip(best.replicas, peaks, strict=True))


def _tiles(found: Cost, best: Plan) -> list[tuple[str, Any] | tuple[str, Any, str]]:
    currency, now = found.prices.currency, found.now
    short = ", too small" if now and now.short_hours else ""
    return [
        (
            f"{currency} a million predictions",
            best.cost_per_million,
            f"now: {report.text(now and now.cost_per_million)}{short}",
        ),
        (f"{currency} a month", best.cost_a_month, f"now: {report.text(now and now.cost_a_month)}{short}"),
        ("requests/s of a replica", best.size.capacity, f"p99 {report.text(best.size.p99_ms)} ms there"),
        ("replicas", _range(best.replicas), f"headroom {found.objective.headroom:.0%}"),
        ("memory request", f"{best.size.memory_request // MIB} Mi", f"measured: {best.size.memory_bytes / MIB:.0f} Mi"),
    ]


def _curves(found: Cost) -> list[str]:
    rows = [
        [
            quantity_of(curve.size.cpus), curve.size.capacity, curve.size.p99_ms if curve.size.capacity else None,
            f"{curve.size.cpu_share:.0%}", curve.fastest, curve.size.memory_bytes / MIB, curve.cold_start_seconds, curve.how,
            curve.processor or None,
        ]
        for curve in found.curves
    ]  # fmt: skip
    header = [
        "CPU",
        "Requests/s in objective",
        "p99 ms",
        "CPU used",
        "Fastest/s",
        "Memory Mi",
        "Start s",
        "Limited by",
        "Processor",
    ]
    points = [
        [quantity_of(curve.size.cpus), one.rate, one.answered, _number(one.p50_ms), _number(one.p99_ms), one.cpus,
         "yes" if one.met else "no"]
        for curve in found.curves
        for one in curve.samples
    ]  # fmt: skip
    names = ["CPU", "Asked/s", "Answered/s", "p50 ms", "p99 ms", "CPUs used", "Met"]
    skipped = [f"{limit} CPU was not measured: {why}." for limit, why in found.skipped.items()]
    unseen = [
        f"{quantity_of(curve.size.cpus)} CPU: the objective was never exceeded, so a replica may bear more than was seen."
        for curve in found.curves
        if not curve.exceeded
    ]
    return [
        report.figures(plots.curves_plot(found.curves, found.objective.objective_ms)),
        report.table(header, rows),
        report.bullets([*skipped, *unseen], style="muted") if skipped or unseen else "",
        report.details("All points", report.table(names, points)),
    ]


def _plans(found: Cost, best: Plan) -> list[str]:
    def row(name: str, plan: Plan, cpus: float) -> list[Any]:
        return [
            name, quantity_of(cpus), _range(plan.replicas), plan.cost_per_million, plan.cost_a_month, plan.short_hours,
        ]  # fmt: skip

    rows = [row("cheapest" if plan == best else "", plan, plan.size.cpus) for plan in found.plans]
    styles = ["good" if plan == best else "" for plan in found.plans]
    if found.now is not None:
        rows.append(row("present, stays" if found.kept else "present", found.now, found.now.size.cpus))
        styles.append("good" if found.kept else "bad" if found.now.short_hours else "muted")
    currency = found.prices.currency
    header = ["", "CPU", "Replicas", f"{currency} a million", f"{currency} a month", "Hours too small"]
    return [
        report.figures(plots.cost_plot(found.plans, best, currency), plots.replicas_plot(found.trace, best)),
        report.table(header, rows, styles=styles),
    ]


def _zero(found: Cost) -> list[str]:
    zero = found.zero
    if zero is None:
        return [report.paragraph("Not judged: a start cannot be seen in metrics.", style="muted")]
    rows: list[list[Any]] = [
        ["A request that finds no replica waits", f"{zero.cold_start_seconds:.1f} s"],
        ["A pause saves something from", f"{zero.break_even_seconds:.0f} s on"],
        ["An hour without a replica saves", _money(zero.saved_an_hour, found)],
        ["Pauses in this load", zero.pauses],
        ["Saved in them", _money(zero.saved, found)],
        ["Saved for each request that waits", _money(zero.saved_a_wait, found) if zero.saved_a_wait is not None else None],
    ]
    least = found.recommendation.least if found.recommendation else 1
    if least == 0:
        allowed = f"{found.objective.longest_wait_seconds:g} s allowed"
        told = f"Recommended: waiting {zero.cold_start_seconds:.1f} s is within the {allowed}."
    elif found.objective.mode != "Knative":
        told = "Not recommended: only Knative mode scales to zero."
    elif not zero.pays:
        told = "Not recommended: this load has no pause that is long enough."
    else:
        told = (
            f"Not recommended: the first request after a pause may wait {found.objective.longest_wait_seconds:g} s "
            "(longest_wait_seconds), and would wait longer."
        )
    return [report.paragraph(told), report.table(["", ""], rows)]


def _patch(found: Cost) -> list[str]:
    text = to_yaml(found.patch)
    return [
        report.paragraph("A merge patch for the InferenceService, for kubectl patch or as a patch of a kustomization."),
        f"<pre>{report.text(text)}</pre>",
    ]


def _method(found: Cost) -> list[str]:
    objective, prices = found.objective, found.prices
    measured = (
        "Each size is the real predictor under that CPU limit. Requests arrive at random times; a search finds the highest "
        f"rate ({objective.seconds:g} s for each rate, {objective.rounds} rounds, median p99). Latency counts from the time at "
        "which a request was due. The load generator shares the machine: sizes near its number of CPUs may have a higher "
        "capacity. On a cluster, each size is measured in a step with this limit, and the load generator shares the limit."
    )
    observed = "Load, p99, CPU and memory are what Prometheus has seen; a load that never came is not known."
    cold = (
        f"The start is measured from the process to its first prediction, and {objective.pod_start_seconds:g} s added until a "
        "container runs; an image that must be pulled first takes longer."
    )
    paid = (
        f"{prices.cpu_hour:.4g} {prices.currency} for a CPU and {prices.gib_hour:.4g} {prices.currency} for a GiB an hour, "
        f"from {prices.source}. What is requested is paid; nodes are taken to be filled by other work."
    )
    return [
        measured if found.zero is not None or not found.best else observed,
        f"The replicas of an hour serve its peak plus {objective.headroom:.0%}: an autoscaler that reacts to the peak is late.",
        "A replica requests the CPU that it was measured with; its memory is a quarter more than it held, its limit half more.",
        paid,
        "A prediction is a request of one row.",
        *([cold] if found.zero is not None else []),
    ]


def _count(low: int, high: int) -> str:
    if low == high:
        return f"{low} replica{'s' if low > 1 else ''}"
    return f"{low} to {high} replicas"


def _range(replicas: tuple[int, ...]) -> str:
    low, high = min(replicas), max(replicas)
    return str(low) if low == high else f"{low} to {high}"


def _money(value: float, found: Cost) -> str:
    return f"{report.text(float(value))} {found.prices.currency}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

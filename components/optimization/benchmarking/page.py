"""The benchmark as a page to look at, and as a section of the model card."""

from stagewright.components.optimization.benchmarking import load_curve, plots
from stagewright.components.optimization.benchmarking.benchmark import TOLERANCE
from stagewright.components.optimization.benchmarking.proof import CHOSEN, DEFAULT
from stagewright.components.optimization.benchmarking.result import Benchmark
from stagewright.components.optimization.benchmarking.search import Stage
from stagewright.components.runtime import report
from stagewright.components.runtime.report import Page

MUCH_GENERATOR = 0.8


def page(found: Benchmark) -> Page:
    """The report: verdict, key figures, the proof on the predictor, the stages of the search, the method."""
    made = Page(
        f"How {found.name} is served best",
        f"{found.cpu}, {found.cpus} CPUs · objective: p99 within {found.plan.objective_ms:g} ms",
    )
    _verdict(made, found)
    made.tiles(_tiles(found))
    made.section("The predictor under load", *_proof(found))
    for number, stage in enumerate(found.found.stages, 1):
        made.section(f"Stage {number}: {stage.name.lower()}", *_stage(stage))
    if found.selection:
        made.section(f"Stage {len(found.found.stages) + 1}: finalists on the predictor", _points_table(found.selection))
    made.section("How this was measured", report.bullets(_method(found)))
    return made


def card(original: str, found: Benchmark) -> str:
    """The model card with what was chosen as its last section, in place of an earlier one."""
    heading = "## Serving settings"
    kept = original.partition(f"\n{heading}\n")[0].rstrip()
    settings = found.settings
    before, after = found.before, found.after
    lines = [
        f"Measured on {found.cpu} with {found.cpus} CPUs; objective: p99 within {found.plan.objective_ms:g} ms.",
        "",
        "| | As it was | Chosen |",
        "|---|---|---|",
        f"| Threads in an inference | {found.default.threads} | {settings.threads or 'as it was'} |",
        f"| Inferences at once | {found.default.concurrency} | {settings.concurrency or 'as it was'} |",
        f"| Graph optimization | {found.default.optimization} | {settings.graph_optimization} |",
        f"| Rows put together | predictor's own | {settings.batch_rows or 'as it was'} |",
    ]
    if before and after:
        lines.append(
            f"| Requests/s within the objective | {before.requests_per_second:,.0f} | {after.requests_per_second:,.0f} |"
        )
        lines.append(f"| p99 there | {before.p99_ms:.3g} ms | {after.p99_ms:.3g} ms |")
    return f"{kept}\n\n{heading}\n\n" + "\n".join(lines) + "\n"


def _verdict(made: Page, found: Benchmark) -> None:
    if found.failures:
        made.banner("No setting meets the objective", report.bullets(found.failures), good=False)
        return
    if not found.changed:
        told = "Nothing that was tried is faster than what the predictor does by itself; the model keeps it, and its version."
        made.banner("The model is served best as it was", report.paragraph(told), good=True)
        return
    median, low, high = found.ratio
    told = (
        f"{median:.2f} times the throughput at the same load, median over loads and rounds (least {low:.2f}, most {high:.2f}); "
        f"answers differ from the model's own by {found.largest_difference:.2g} at most on {found.rows:,} rows."
    )
    made.banner("A faster setting was found and written into the model", report.paragraph(told), good=True)


def _tiles(found: Benchmark) -> list[tuple[str, object] | tuple[str, object, str]]:
    settings, before, after = found.settings, found.before, found.after
    return [
        ("requests/s within the objective", after.requests_per_second if after else None,
         f"before: {report.text(before.requests_per_second if before else None)}"),
        ("p99 there, ms", after.p99_ms if after else None, f"before: {report.text(before.p99_ms if before else None)}"),
        ("threads in an inference", settings.threads or found.default.threads, f"before: {found.default.threads}"),
        ("inferences at once", settings.concurrency or found.default.concurrency, f"before: {found.default.concurrency}"),
        ("rows put together", settings.batch_rows, "at most"),
        ("graph optimization", settings.graph_optimization, f"before: {found.default.optimization}"),
    ]  # fmt: skip


def _proof(found: Benchmark) -> list[str]:
    told = (
        "The real predictor, started with the model as it was and with the chosen settings, answers single rows over V2 from a "
        "growing number of connections that are always busy. Thin lines show the least and the most of "
        f"{found.plan.rounds} round{'s' if found.plan.rounds > 1 else ''}."
    )
    fastest = max((load.generator_cpu for one in found.curve for load in one.loads), default=0)
    warned = (
        "The load generator was busy most of the time at the highest loads: the server may be faster than it could ask."
        if fastest > MUCH_GENERATOR
        else ""
    )
    batches = next((stage for stage in found.found.stages if stage.name == "Batch size"), None)
    figures = [plots.latency_plot(found.curve, found.plan.objective_ms), plots.throughput_plot(found.curve)]
    if batches:
        figures.append(plots.batch_plot(batches.timings))
    return [
        report.paragraph(told),
        report.figures(*figures),
        report.paragraph(warned, style="muted") if warned else "",
        report.details("All points", _points_table(found.curve)),
    ]


def _points_table(points: list[load_curve.Point]) -> str:
    rows = []
    for one in points:
        low, high = one.spread("requests_per_second")
        rows.append(
            [
                one.server, one.connections, one.requests_per_second, f"{low:,.0f} to {high:,.0f}", one.p50_ms, one.p99_ms,
                one.failed, max(load.generator_cpu for load in one.loads),
            ]
        )  # fmt: skip
    header = ["Server", "Connections", "Requests/s", "Least to most", "p50 ms", "p99 ms", "Failed", "Generator's CPU share"]
    return report.table(header, rows)


def _stage(stage: Stage) -> list[str]:
    rows = [
        [
            one.setting.optimization, one.setting.threads, one.setting.concurrency, one.rows, one.rows_per_second, one.p50_ms,
            one.p99_ms, one.ratio, f"{min(one.ratios):.2f} to {max(one.ratios):.2f}",
        ]
        for one in stage.timings
    ]  # fmt: skip
    header = ["Optimization", "Threads", "At once", "Rows", "Rows/s", "p50 ms", "p99 ms", "To default", "Least to most"]
    return [
        report.paragraph(stage.told),
        report.paragraph(f"Chosen: {stage.chosen}."),
        report.details("All measurements", report.table(header, rows)),
    ]


def _method(found: Benchmark) -> list[str]:
    dropped = [f"{setting} was dropped, because its answers differ: {why}." for setting, why in found.dropped.items()]
    turns = (
        f"Each point is measured for {found.plan.seconds:g} seconds in each of {found.plan.rounds} rounds; within a round, "
        "every setting has its turn, so that a machine that is slow for a while is slow for all of them."
    )
    shared = (
        f"Load generator and predictor share the {found.cpus} CPUs of this machine; where it has few, the predictor alone "
        "would answer more."
    )
    return [
        "Stages are measured on the graph alone, inside one process; finalists and the proof on the predictor's process.",
        turns,
        f"'{CHOSEN}' and '{DEFAULT}' are measured anew after the choice: the best of several looks better than it is.",
        f"A setting counts only if its answers equal the model's own within {TOLERANCE:g}.",
        shared,
        "Settings fit the processor they were measured on. On another kind of machine, measure again.",
        *dropped,
    ]

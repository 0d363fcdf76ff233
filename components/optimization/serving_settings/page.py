"""The benchmark as a page to look at."""

from collections.abc import Sequence

from stagewright.components.measurement.rates import LoadResult
from stagewright.components.optimization.serving_settings import plots
from stagewright.components.optimization.serving_settings.evidence import WORTH
from stagewright.components.optimization.serving_settings.proof import CHOSEN
from stagewright.components.optimization.serving_settings.result import Benchmark
from stagewright.components.optimization.serving_settings.search import Stage
from stagewright.components.optimization.serving_settings.settings_text import compared
from stagewright.components.optimization.serving_settings.trials import DEFAULT, Experiment
from stagewright.components.runtime import report
from stagewright.components.runtime.report import Page

MUCH_GENERATOR = 0.8


def page(found: Benchmark) -> Page:
    """The report: verdict, key figures, the proof on the predictor, the stages of the search, the method."""
    rows = "" if found.plan.request_rows == 1 else f" · requests of {found.plan.request_rows} rows"
    made = Page(
        f"How {found.name} is served best",
        f"{found.cpu}, {found.cpus} CPUs · objective: p99 within {found.plan.objective_ms:g} ms{rows}",
    )
    _verdict(made, found)
    made.tiles(_tiles(found))
    made.section("The predictor under load", *_proof(found))
    for number, stage in enumerate(found.found.stages, 1):
        made.section(f"Stage {number}: {stage.name.lower()}, the graph alone", *_stage(stage))
    for number, tried in enumerate(found.races, len(found.found.stages) + 1):
        made.section(f"Stage {number}: {tried.name.lower()}", *_race(tried))
    made.section("How this was measured", report.bullets(_method(found)))
    return made


def _verdict(made: Page, found: Benchmark) -> None:
    if found.failures:
        made.banner("No setting meets the objective", report.bullets(found.failures), good=False)
        return
    median, low, high = found.proof.ratio
    if found.changed:
        description = (
            f"{median:.2f} times the requests a second within the objective, median of {found.plan.rounds} rounds (between "
            f"{low:.2f} and {high:.2f}); answers differ from the model's own by {found.largest_difference:.2g} at most on "
            f"{found.rows:,} rows."
        )
        made.banner("A better setting was found and written into the model", report.paragraph(description), good=True)
        return
    description = "Nothing that was tried is proved to be better; the model keeps its settings, and its version."
    if found.proof.ratios:
        description += (
            f" The best of it bears {median:.2f} times the requests a second within the objective, between {low:.2f} and "
            f"{high:.2f}. To be chosen it would have to bear more than {WORTH:.2f} times as many, with a lower bound above 1."
        )
    made.banner("The model is served best as it was", report.paragraph(description), good=True)


def _tiles(found: Benchmark) -> list[tuple[str, object] | tuple[str, object, str]]:
    before, after = found.proof.before, found.proof.after
    return [
        ("requests/s within the objective", after.requests_per_second if after else None,
         f"before: {report.text(before.requests_per_second if before else None)}"),
        ("p99 there, ms", after.p99_ms if after else None, f"before: {report.text(before.p99_ms if before else None)}"),
        *((name, now, f"before: {was}") for name, was, now in compared(found.existing, found.settings, found.cpus)),
    ]  # fmt: skip


def _proof(found: Benchmark) -> list[str]:
    description = (
        f"The real predictor as it was and with the best that was tried, asked over V2 at random times. In turns, "
        f"through {found.plan.rounds} rounds, the rate of each goes up where it holds and down where it does not. A rate holds "
        f"if 99 of 100 requests are answered within {found.plan.objective_ms:g} ms from when they were due."
    )
    asked = found.proof.asked
    busy = max((one.load.generator_cpu for one in asked), default=0)
    warned = (
        "The load generator was busy most of the time at the highest rates: the server may bear more than it could ask."
        if busy > MUCH_GENERATOR
        else ""
    )
    labels = {DEFAULT: DEFAULT, CHOSEN: CHOSEN if found.changed else "the best that was tried"}
    figures = [plots.latency_plot(asked, found.plan.objective_ms, labels), plots.rounds_plot(found.proof, labels)]
    if batches := next((stage for stage in found.found.stages if stage.name == "Batch size"), None):
        figures.append(plots.batch_plot(batches.timings))
    shown = [report.paragraph(description), report.figures(*figures)]
    if found.proof.candidate is not None and not found.changed:
        lines = compared(found.existing, found.proof.candidate, found.cpus)
        differing = [line for line in lines if line[1] != line[2]]
        shown.append(report.table(["The best that was tried, not chosen", "As it was", "Experiment"], differing))
    return [*shown, report.paragraph(warned, style="muted") if warned else "", report.details("All loads", _asked(asked))]


def _asked(asked: Sequence[LoadResult]) -> str:
    rows = [
        [
            one.server, one.rate, one.load.requests_per_second, one.load.p50_ms, one.load.p99_ms, one.load.failed,
            "held" if one.held else "did not hold", one.load.generator_cpu,
        ]
        for one in sorted(asked, key=lambda one: (one.server, one.rate))
    ]  # fmt: skip
    header = ["Server", "Requests/s asked", "Answered", "p50 ms", "p99 ms", "Failed", "Objective", "Generator's CPU share"]
    return report.table(header, rows)


def _race(tried: Experiment) -> list[str]:
    rates, winner = tried.race.rates, tried.race.winner
    ordered = sorted(rates, key=lambda name: (name != winner, -rates[name]))
    rows = [[name, rates[name] or None, "the last to hold" if name == winner else ""] for name in ordered]
    description = (
        f"{tried.description} All settings run at the same request rate; those that meet the objective go on to a higher rate, "
        "and the last one is the best. A setting that never came near the fastest has no rate."
    )
    return [
        report.paragraph(description),
        report.table(["Setting", "Largest rate held, requests/s", ""], rows),
        report.details("All loads", _asked(tried.asked)),
    ]


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
        report.paragraph(stage.description),
        report.paragraph(f"Chosen: {stage.chosen}."),
        report.details("All measurements", report.table(header, rows)),
    ]


def _method(found: Benchmark) -> list[str]:
    dropped = [f"{setting} was dropped, because its answers differ: {why}." for setting, why in found.dropped.items()]
    turns = (
        f"A rate is asked for {found.plan.seconds:g} seconds, up to three times as long for a slow model. In a race, one that "
        "fails is asked for once more, for what else a machine does should not be the server's fault."
    )
    bounds = (
        "The bounds of a ratio hold the true median 9 times of 10 whatever the rounds scatter like (sign test): of five rounds "
        "they are the least and the most."
    )
    shared = (
        f"Load generator and predictor share the {found.cpus} CPUs of this machine; where it has few, the predictor "
        "alone would answer more."
    )
    return [
        "The graph alone settles the level of optimizations and what is worth trying; the predictor settles the rest.",
        turns,
        f"'{CHOSEN}' and '{DEFAULT}' are measured anew after the search: the best of several looks better than it is.",
        bounds,
        "A setting counts only if its answers equal the model's own within the tolerance of its export.",
        shared,
        "Settings fit the processor they were measured on. On another kind of machine, measure again.",
        *dropped,
    ]

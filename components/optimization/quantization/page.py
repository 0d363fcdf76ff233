"""Quantization as a page to look at."""

from typing import Any

from stagewright.components.optimization.quantization.gate import EQUALLY_FAST, Candidate
from stagewright.components.optimization.quantization.methods import GPU, REFERENCE
from stagewright.components.optimization.quantization.plots import front_plot, loss_plot, served_plot, time_plot
from stagewright.components.optimization.quantization.result import Quantization
from stagewright.components.runtime import report

_METRICS = {"accuracy": "accuracy", "roc_auc": "ROC AUC", "log_loss": "log loss", "rmse": "RMSE", "r2": "R²"}
_MEGABYTE = 1e6
_BATCH_EFFECT = 1e-4  # from here on worth a word


def page(found: Quantization) -> report.Page:
    """The report: verdict, key figures, every candidate with what it wins and loses, the front, where the time is, method."""
    measured = found.measured
    made = report.Page(
        "Quantization",
        f"{measured['rows']:,} rows, {measured['threads']} thread{'s' if measured['threads'] > 1 else ''} on "
        f"{measured['processor']}, ONNX Runtime {measured['onnxruntime']}",
    )
    _verdict(made, found)
    made.tiles(_tiles(found))
    if found.candidates:
        made.section("What each candidate wins", _wins(found))
        if found.served:
            made.section("As served", _served(found), report.figures(*(served_plot(one) for one in found.served)))
        made.section("What is worth having", _legend(), report.figures(front_plot(found, "single"), front_plot(found, "batch")))
        made.section("What each candidate loses", _losses(found), *_notes(found), report.figures(loss_plot(found)))
        made.section("Where the time is", report.figures(time_plot(found)))
    else:
        made.section("Where time and bytes are", report.figures(time_plot(found)), _shares(found))
    made.section("How this was measured", report.bullets(_method(found)))
    return made


def _verdict(made: report.Page, found: Quantization) -> None:
    winner = found.winner
    if winner is not None and winner.quality is not None:
        says = f"'{winner.name}' becomes the variant {found.request.variant}: {winner.method.label}."
        made.banner("A variant passed", report.paragraph(says), good=True)
    elif found.nothing:
        made.banner("Nothing to gain", report.paragraph(f"{found.nothing[0].upper()}{found.nothing[1:]}."), good=True)
    else:
        made.banner("No candidate passed", report.bullets(found.failures()), good=False)


def _tiles(found: Quantization) -> list[tuple[str, Any] | tuple[str, Any, str]]:
    winner = found.winner
    megabytes = f"{found.own['bytes'] / _MEGABYTE:.3g} MB"
    if winner is None or winner.quality is None:
        name = next(iter(found.own["metrics"]))
        return [("float model", megabytes), (f"its {_METRICS[name]}", found.own["metrics"][name])]
    changed = winner.quality.changed
    tiles: list[tuple[str, Any] | tuple[str, Any, str]] = [
        ("smaller", f"{winner.size_ratio:.2f}x", f"{(winner.size or 0) / _MEGABYTE:.3g} MB of {megabytes}"),
    ]
    if winner.speed is not None:
        latency = winner.speed.latency
        tiles += [
            ("faster, one row", f"{winner.speed.speedup['single']:.2f}x", f"{latency['single'].median:.3g} ms"),
            ("faster, a batch", f"{winner.speed.speedup['batch']:.2f}x", f"{latency['batch'].median:.3g} ms"),
        ]
    tiles.append(("points lost", f"{winner.quality.lost:.2f}", _range(winner.quality.interval)))
    return [*tiles, ("labels changed", f"{changed:.2%}")] if changed is not None else tiles


def _wins(found: Quantization) -> str:
    """Size and speed of every candidate, and what became of it."""
    times = found.own["speed"]
    own = [
        "float32",
        _megabytes(found.own["bytes"]),
        "",
        f"{times['single']:.3g} ms",
        "",
        f"{times['batch']:.3g} ms",
        "",
        "as it is",
    ]
    rows = [own]
    for candidate in found.candidates:
        sizes = [_megabytes(candidate.size), "" if candidate.size_ratio is None else f"{candidate.size_ratio:.2f}x"]
        speeds = [cell for load in ("single", "batch") for cell in _speed(candidate, load)]
        rows.append([candidate.name, *sizes, *speeds, _outcome(found, candidate)])
    header = ["method", "size", "smaller", "one row", "faster", "batch", "faster", "outcome"]
    return report.table(header, rows, styles=["muted", *(_style(found, candidate) for candidate in found.candidates)])


def _served(found: Quantization) -> str:
    """The variant beside the float model in the predictor."""
    rows = []
    for one in found.served:
        low, high = one.ratios.min(), one.ratios.max()
        cells = [f"{one.speedup:.2f}x ({low:.2f} to {high:.2f})", f"{one.sooner:.2f}x"]
        for server in (one.own, one.variant):
            cells += [f"{server.requests_per_second:.4g}", f"{server.p50_ms:.3g} / {server.p99_ms:.3g}"]
        rows.append([str(one.traffic), *cells])
    own, variant = "float", found.request.variant
    header = ["load", "faster", "median answer sooner", f"{own}, requests/s", "p50 / p99 in ms"]
    return report.table([*header, f"{variant}, requests/s", "p50 / p99 in ms"], rows)


def _losses(found: Quantization) -> str:
    """Quality of every candidate that has answers."""
    names = list(found.own["metrics"])
    rows: list[list[Any]] = [["float32", *(f"{found.own['metrics'][name]:.4f}" for name in names), "", "", ""]]
    measured = [candidate for candidate in found.candidates if candidate.quality is not None]
    for candidate in measured:
        if candidate.quality is not None:
            quality = candidate.quality
            metrics = [f"{quality.metrics[name]:.4f}" if name in quality.metrics else "" for name in names]
            lost = f"{quality.lost:.2f} {_range(quality.interval)}"
            changed = "" if quality.changed is None else f"{quality.changed:.2%}"
            rows.append([candidate.name, *metrics, lost, changed, f"{candidate.batch_effect:.1e}" if candidate.graph else ""])
    header = ["method", *(_METRICS[name] for name in names), "points lost", "labels changed", "batch effect"]
    return report.table(header, rows, styles=["muted", *(_style(found, candidate) for candidate in measured)])


def _outcome(found: Quantization, candidate: Candidate) -> str:
    if found.winner is not None and candidate.name == found.winner.name:
        return "chosen"
    if candidate.method.variant == REFERENCE:
        return "reference: runs in torch only"
    failures = candidate.failures(found.request.limits)
    if failures:
        return "; ".join(failures)
    return "passes" if candidate.method.variant == found.request.variant else f"passes, for {candidate.method.variant}"


def _style(found: Quantization, candidate: Candidate) -> str:
    if found.winner is not None and candidate.name == found.winner.name:
        return "good"
    return "bad" if candidate.method.variant != REFERENCE and candidate.failures(found.request.limits) else ""


def _speed(candidate: Candidate, load: str) -> list[str]:
    if candidate.speed is None:
        return ["" if candidate.error else "not measured here", ""]
    low, high = candidate.speed.speedup_range[load]
    median = candidate.speed.latency[load].median
    return [f"{median:.3g} ms", f"{candidate.speed.speedup[load]:.2f}x ({low:.2f} to {high:.2f})"]


def _notes(found: Quantization) -> list[str]:
    notes = []
    limits = found.request.limits
    unsure = [
        candidate.name
        for candidate in found.candidates
        if candidate.quality and candidate.quality.lost <= limits.tolerance < candidate.quality.interval[1]
    ]
    if unsure:
        notes.append(f"The interval of {', '.join(unsure)} reaches beyond the tolerance: more rows would tell more.")
    if any(candidate.batch_effect > _BATCH_EFFECT for candidate in found.candidates):
        notes.append(
            "Batch effect: how far a row's answer among others is from its answer alone, at most. Activations that are scaled "
            "as they come are scaled for a batch as a whole: a server that puts requests together answers a little otherwise."
        )
    if any(candidate.method.variant == GPU and candidate.speed is None for candidate in found.candidates):
        notes.append("fp16 is for GPUs. There is none here: its quality was measured on the CPU, its speed was not measured.")
    return [report.paragraph(note, style="muted") for note in notes]


def _legend() -> str:
    return report.paragraph(
        "Green passes, red does not, a diamond is a reference that cannot be served, the square is the float model. A filled "
        "mark is not beaten by any other in size, latency and points lost together; the dotted line joins these.",
        style="muted",
    )


def _shares(found: Quantization) -> str:
    potential = found.potential
    rows = [
        ["ensembles of trees", f"{potential.ensemble_time:.0%}", f"{potential.ensemble_bytes:.0%}"],
        ["layers that a method can quantize", f"{potential.quantizable_time:.0%}", f"{potential.quantizable_bytes:.0%}"],
    ]
    return report.table(["part", "share of time", "share of bytes"], rows)


def _method(found: Quantization) -> list[str]:
    measured, limits = found.measured, found.request.limits
    truth = (
        "the true values in the data" if measured["true_values"] else "the float model's own answers, as the data has no target"
    )
    rows = (
        f"{measured['calibration_rows']:,} rows for calibration and {measured['rows']:,} others for quality, drawn with seed "
        f"{measured['seed']}; quality is measured against {truth}."
    )
    points = (
        "A point is a hundredth of accuracy, and for two classes also of ROC AUC (the larger loss counts), or one percent of "
        "the RMSE; intervals are 95%, by a paired bootstrap over rows."
    )
    speed = (
        f"Speed: every candidate in each of several rounds, single rows and batches of {measured['batch_rows']}, medians and "
        "quartiles; a speed-up is the median of the rounds' ratios to the float model."
    )
    gate = (
        f"Gate: at most {limits.tolerance:g} points lost, at least {limits.speedup:g} times as fast for single rows and for "
        f"batches, at least {limits.size_ratio:g} times smaller."
    )
    choice = (
        f"Choice: the fastest that passes, by the smaller of its two speed-ups; of those within {EQUALLY_FAST:.0%} of it, the "
        "one that loses least. Where speed is not measured, the smallest."
    )
    served = (
        "As served: the float model and the variant, each in a predictor of its own with the model's settings, asked over HTTP "
        "in turns by a load generator that shares the machine with them; JSON of the V2 protocol. Medians over the rounds, in "
        "brackets the least and the most."
    )
    untouched = "Preprocessing and the rule that makes a label of probabilities are untouched."
    return [rows, points, speed, gate, choice, *([served] if found.served else []), untouched]


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / _MEGABYTE:.3g} MB"


def _range(interval: tuple[float, float]) -> str:
    return f"({interval[0]:.2f} to {interval[1]:.2f})"

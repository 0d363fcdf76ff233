"""Plots of a benchmark: latency against throughput, and what batches bring."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagewright.components.optimization.benchmarking.load_curve import Point
from stagewright.components.optimization.inference_timing import Timing
from stagewright.components.runtime.report import ACCENT, BAD, GOOD, MUTED, PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 9.6
GRID = "#e3e8ed"
COLOURS = {"with settings": GOOD, "as it was": ACCENT}


def latency_plot(points: Sequence[Point], objective_ms: float) -> "Figure":
    """p99 against requests a second, one line a server, with the least and the most of the rounds."""
    figure, axes = new_figure("Latency and throughput under increasing load", width=WIDE, height=4.2)
    for server in dict.fromkeys(one.server for one in points):
        own = [one for one in points if one.server == server]
        colour = COLOURS.get(server, PALETTE[1])
        axes.plot([one.requests_per_second for one in own], [one.p99_ms for one in own], "o-", color=colour, label=server,
                  linewidth=1.8, markersize=5)  # fmt: skip
        for one in own:
            _cross(axes, one, colour)
            axes.annotate(str(one.connections), (one.requests_per_second, one.p99_ms), xytext=(5, -11),
                          textcoords="offset points", fontsize=7.5, color=colour)  # fmt: skip
    axes.axhline(objective_ms, color=BAD, linewidth=1, linestyle="--")
    axes.annotate(f"objective {objective_ms:g} ms", (1, objective_ms), xycoords=("axes fraction", "data"), xytext=(-2, 4),
                  textcoords="offset points", fontsize=8, color=BAD, ha="right")  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlim(left=0)
    _labels(axes, "requests a second (numbers: connections kept busy)", "p99 in ms")
    return figure


def throughput_plot(points: Sequence[Point]) -> "Figure":
    """Requests a second by connections."""
    figure, axes = new_figure("Throughput", width=4.7)
    for server in dict.fromkeys(one.server for one in points):
        own = [one for one in points if one.server == server]
        colour = COLOURS.get(server, PALETTE[1])
        lows, highs = zip(*(one.spread("requests_per_second") for one in own), strict=True)
        counts = [one.connections for one in own]
        axes.plot(counts, [one.requests_per_second for one in own], "o-", color=colour, label=server, markersize=4)
        axes.fill_between(counts, lows, highs, color=colour, alpha=0.15, linewidth=0)
    _doublings(axes, [one.connections for one in points])
    axes.set_ylim(bottom=0)
    _labels(axes, "connections kept busy", "requests a second")
    return figure


def batch_plot(timings: Sequence[Timing]) -> "Figure":
    """Rows a second of the graph alone by batch size, one line a setting."""
    figure, axes = new_figure("What batches bring: the graph alone", width=4.7)
    for setting in dict.fromkeys(one.setting for one in timings):
        own = sorted((one for one in timings if one.setting == setting), key=lambda one: one.rows)
        name = f"{setting.threads} thread{'s' if setting.threads > 1 else ''} x {setting.concurrency} at once"
        sizes = [one.rows for one in own]
        (line,) = axes.plot(sizes, [one.rows_per_second for one in own], "o-", markersize=4, label=name)
        axes.fill_between(sizes, [one.low for one in own], [one.high for one in own], color=line.get_color(), alpha=0.15,
                          linewidth=0)  # fmt: skip
    _doublings(axes, [one.rows for one in timings])
    axes.set_yscale("log")
    _labels(axes, "rows in a batch", "rows a second")
    return figure


def _cross(axes: Any, point: Point, colour: str) -> None:
    """Thin lines from the least to the most of the rounds, both ways."""
    low, high = point.spread("requests_per_second")
    axes.plot([low, high], [point.p99_ms] * 2, color=colour, alpha=0.35, linewidth=1)
    low, high = point.spread("p99_ms")
    axes.plot([point.requests_per_second] * 2, [low, high], color=colour, alpha=0.35, linewidth=1)


def _doublings(axes: Any, values: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(values)), [str(value) for value in sorted(set(values))])
    axes.minorticks_off()


def _labels(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=9, color=MUTED)
    axes.set_ylabel(up, fontsize=9, color=MUTED)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8)

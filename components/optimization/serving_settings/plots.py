"""Plots of a benchmark: latency by rate, the rounds of the proof, and what batches bring."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stagewright.components.measurement.inference_timing import Timing
from stagewright.components.measurement.rates import LoadResult
from stagewright.components.optimization.serving_settings.proof import CHOSEN, Proof
from stagewright.components.optimization.serving_settings.search import pair
from stagewright.components.optimization.serving_settings.trials import DEFAULT
from stagewright.components.runtime.report import ACCENT, BAD, GOOD, GRID, MUTED, line_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 9.6
COLOURS = {CHOSEN: GOOD, DEFAULT: ACCENT}
BINS_PER_DOUBLING = 3


def latency_plot(asked: Sequence[LoadResult], objective_ms: float, labels: dict[str, str]) -> "Figure":
    """p99 by the rate that was asked for: every load a dot, a line through the medians of similar rates.

    Args:
        labels: What the servers are called.
    """
    figure, axes = new_figure("Latency by the rate of requests", width=WIDE, height=4.2)
    for server, colour in COLOURS.items():
        own = [one for one in asked if one.server == server and np.isfinite(one.load.p99_ms)]
        if not own:
            continue
        axes.scatter([one.rate for one in own], [one.load.p99_ms for one in own], s=14, color=colour, alpha=0.35, linewidths=0)
        axes.plot(*_medians(own), "o-", color=colour, label=labels[server], linewidth=1.8, markersize=5)
    axes.axhline(objective_ms, color=BAD, linewidth=1, linestyle="--")
    axes.annotate(f"objective {objective_ms:g} ms", (1, objective_ms), xycoords=("axes fraction", "data"), xytext=(-2, 4),
                  textcoords="offset points", fontsize=8, color=BAD, ha="right")  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    axes.set_xlim(left=0)
    _labels(axes, "requests a second that came", "p99 in ms")
    return figure


def rounds_plot(proof: Proof, labels: dict[str, str]) -> "Figure":
    """The largest rate of each server in each round."""
    figure, axes = new_figure("The largest rate within the objective", width=4.7)
    for server, colour in COLOURS.items():
        if rates := proof.rates.get(server):
            axes.plot(range(1, len(rates) + 1), rates, "o-", color=colour, label=labels[server], markersize=5, linewidth=1.2)
    axes.set_xticks(range(1, len(proof.rates[DEFAULT]) + 1))
    axes.set_ylim(bottom=0)
    _labels(axes, "round", "requests a second")
    return figure


def batch_plot(timings: Sequence[Timing]) -> "Figure":
    """Rows a second of the graph alone by batch size, one line a setting."""
    figure, axes = new_figure("What batches bring: the graph alone", width=4.7)
    several = len({one.setting.optimization for one in timings}) > 1
    for number, setting in enumerate(dict.fromkeys(one.setting for one in timings)):
        own = sorted((one for one in timings if one.setting == setting), key=lambda one: one.rows)
        name = pair(setting) + (f", {setting.optimization}" if several else "")
        sizes = [one.rows for one in own]
        (line,) = axes.plot(sizes, [one.rows_per_second for one in own], marker="o", markersize=4, label=name,
                           **line_style(number))  # fmt: skip
        axes.fill_between(sizes, [one.low for one in own], [one.high for one in own], color=line.get_color(), alpha=0.15,
                          linewidth=0)  # fmt: skip
    sizes = sorted({one.rows for one in timings})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    _labels(axes, "rows in a batch", "rows a second")
    return figure


def _medians(asked: Sequence[LoadResult]) -> tuple[list[float], list[float]]:
    """Median rate and p99 of rates that are about the same."""
    bins: dict[int, list[LoadResult]] = {}
    for one in sorted(asked, key=lambda one: one.rate):
        bins.setdefault(round(BINS_PER_DOUBLING * float(np.log2(one.rate))), []).append(one)
    groups = bins.values()
    rates = [float(np.median([one.rate for one in group])) for group in groups]
    return rates, [float(np.median([one.load.p99_ms for one in group])) for group in groups]


def _labels(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=9, color=MUTED)
    axes.set_ylabel(up, fontsize=9, color=MUTED)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)

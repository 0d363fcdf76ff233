"""Plots of the cost of serving: what each size bears, what it costs, and how replicas follow the load."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagewright.components.measurement.capacity import Curve
from stagewright.components.measurement.cpu_limit import quantity_of
from stagewright.components.optimization.cost.load_trace import Trace
from stagewright.components.optimization.cost.sizing import Plan
from stagewright.components.runtime.report import ACCENT, BAD, GOOD, GRID, MUTED, PAPER, line_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 9.6


def curves_plot(curves: Sequence[Curve], objective_ms: float) -> "Figure":
    """p99 by requests a second, one line a size; hollow where the objective was not met."""
    figure, axes = new_figure("What one replica bears", width=WIDE, height=3.8)
    for at, curve in enumerate(curves):
        line = line_style(at)
        colour = line["color"]
        shown = [sample for sample in curve.samples if math.isfinite(sample.p99_ms)]
        axes.plot([sample.rate for sample in shown], [sample.p99_ms for sample in shown], linewidth=1.2, alpha=0.6,
                  **line)  # fmt: skip
        for met, face in ((True, colour), (False, PAPER)):
            some = [sample for sample in shown if sample.met is met]
            axes.plot([sample.rate for sample in some], [sample.p99_ms for sample in some], "o", color=colour, markersize=5,
                      markerfacecolor=face, label=f"{quantity_of(curve.size.cpus)} CPU" if met else None)  # fmt: skip
    axes.axhline(objective_ms, color=BAD, linewidth=1, linestyle="--")
    axes.annotate(f"objective {objective_ms:g} ms", (1, objective_ms), xycoords=("axes fraction", "data"), xytext=(-2, 4),
                  textcoords="offset points", fontsize=8, color=BAD, ha="right")  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    axes.set_xlim(left=0)
    _labels(axes, "requests a second, coming at random", "p99 in ms")
    axes.legend(frameon=False, fontsize=8)
    return figure


def cost_plot(plans: Sequence[Plan], best: Plan, currency: str) -> "Figure":
    """Cost of a million predictions by size, the cheapest in green."""
    figure, axes = new_figure("Cost of a million predictions", width=4.7)
    names = [f"{quantity_of(plan.size.cpus)} CPU" for plan in plans]
    values = [plan.cost_per_million for plan in plans]
    bars = axes.bar(names, values, width=0.6, color=[GOOD if plan == best else ACCENT for plan in plans], alpha=0.85)
    axes.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=8, color=MUTED, padding=2)
    axes.margins(y=0.15)
    _labels(axes, "", currency.replace("$", r"\$"))
    return figure


def replicas_plot(trace: Trace, best: Plan) -> "Figure":
    """The load of each hour as a share of what the replicas of that hour bear."""
    figure, axes = new_figure("Load and what the replicas bear", width=4.7)
    hours = range(len(trace.hours))
    axes.step(hours, [count * best.size.capacity for count in best.replicas], where="mid", color=GOOD, label="replicas bear",
              linewidth=1.6)  # fmt: skip
    axes.step(hours, [hour.peak for hour in trace.hours], where="mid", color=ACCENT, label="peak of the hour", linewidth=1.2)
    axes.step(hours, [hour.mean for hour in trace.hours], where="mid", color=MUTED, label="mean", linewidth=1, linestyle=":")
    axes.set_ylim(0, 1.35 * max(best.size.capacity * max(best.replicas), trace.peak))  # room for the legend
    _labels(axes, "hour of the trace", "requests a second")
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=3, handlelength=1.2, columnspacing=1)
    return figure


def _labels(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=9, color=MUTED)
    axes.set_ylabel(up, fontsize=9, color=MUTED)
    axes.grid(color=GRID, axis="y")
    axes.set_axisbelow(True)

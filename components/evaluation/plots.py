"""Plots for every task: slices with intervals, and importance."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stagewright.components.evaluation.importance import Importance
from stagewright.components.evaluation.slices import Slice
from stagewright.components.metrics.metrics import Metric
from stagewright.components.runtime.report import ACCENT, GRID, INK, MUTED, PAPER, label, new_figure, part_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.7
WIDE = 9.6
MOST_BARS = 20
MOST_SLICES = 40
LARGE = 20_000


def short_numbers(axes: Any) -> None:
    """Show large numbers of both axes as 20k or 3M instead of matplotlib's power of ten next to the title."""
    from matplotlib.ticker import EngFormatter

    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        if max(map(abs, limits)) >= LARGE:
            axis.set_major_formatter(EngFormatter(sep=""))


def importance_plot(importance: Importance) -> "Figure":
    """Bars of the mean loss, with a dot for each repetition."""
    shown = list(importance.losses.items())[:MOST_BARS]
    figure, axes = new_figure(
        part_of("Loss when one column is shuffled", len(shown), len(importance.losses)),
        width=WIDTH,
        height=1.0 + 0.26 * len(shown),
    )
    for row, (_, losses) in enumerate(shown):
        axes.barh(row, np.mean(losses), height=0.66, color=ACCENT, alpha=0.85)
        axes.plot(losses, [row] * len(losses), ".", color=INK, markersize=3, alpha=0.55)
    axes.set_yticks(range(len(shown)), [label(column) for column, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"loss of {importance.metric.label}", fontsize=9, color=MUTED)
    short_numbers(axes)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def slices_plot(parts: list[Slice], metric: Metric, whole: float | None) -> "Figure | None":
    """One row per slice: the metric and its interval; hollow and without an interval if the slice is small."""
    known = [part for part in parts if metric.name in part.measured.values]
    shown = known[:MOST_SLICES]
    if not shown:
        return None
    gaps = np.cumsum([index > 0 and part.column != shown[index - 1].column for index, part in enumerate(shown)]) * 0.6
    rows = np.arange(len(shown)) + gaps
    figure, axes = new_figure(
        part_of(f"{metric.label} by slice", len(shown), len(known)), width=WIDE, height=1.0 + 0.27 * (rows[-1] + 1)
    )
    for row, part in zip(rows, shown, strict=True):
        found = part.measured.values[metric.name]
        if metric.name in part.intervals:
            low, high = part.intervals[metric.name]
            axes.plot([low, high], [row, row], color=ACCENT, linewidth=2.4, alpha=0.4, solid_capstyle="round")
        axes.plot(found, row, "o", color=ACCENT, markersize=5.5, markerfacecolor=PAPER if part.note else ACCENT)
    if whole is not None:
        axes.axvline(whole, color=MUTED, linewidth=1, linestyle="--", zorder=0)
        axes.annotate("all rows", (whole, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -3),
                      textcoords="offset points", fontsize=8, color=MUTED, va="top")  # fmt: skip
    axes.set_yticks(rows, [f"{label(part.column, 24)} = {label(part.value, 26)}  ({part.rows:,})" for part in shown])
    axes.set_ylim(rows[-1] + 0.7, -1.2)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(metric.label, fontsize=9, color=MUTED)
    short_numbers(axes)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure

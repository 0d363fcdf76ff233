"""Quantization as plots: the front of what is worth having, and where the time goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagewright.components.optimization.quantization.comparison import Comparison
from stagewright.components.optimization.quantization.gate import Candidate, Limits, pareto
from stagewright.components.optimization.quantization.methods import REFERENCE
from stagewright.components.optimization.quantization.result import Quantization
from stagewright.components.runtime.report import ACCENT, BAD, GOOD, GRID, INK, MUTED, NEUTRAL, PALETTE, PAPER, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOAT = "float32"
_MEGABYTE = 1e6
_MOST_BARS = 10


def front_plot(found: Quantization, load: str) -> "Figure":
    """Size against latency, coloured by what is lost; candidates that no other beats on all three are joined."""
    timed = [candidate for candidate in found.candidates if candidate.speed is not None and candidate.quality is not None]
    title = {"single": "One row a call", "batch": f"{found.measured['batch_rows']} rows a call"}[load]
    figure, axes = new_figure(title, width=5.0, height=4.0)
    names = [FLOAT, *(candidate.name for candidate in timed)]
    sizes = [found.own["bytes"], *(candidate.size or 0 for candidate in timed)]
    times = [found.own["speed"][load], *(_median(candidate, load) for candidate in timed)]
    lost = [0.0, *(candidate.quality.lost if candidate.quality else 0.0 for candidate in timed)]
    on_front = pareto(list(zip(sizes, times, lost, strict=True)))
    _join(axes, sizes, times, on_front)
    for at in range(len(names)):
        candidate = None if at == 0 else timed[at - 1]
        colour = _colour(candidate, found.request.limits)
        axes.plot(times[at], sizes[at] / _MEGABYTE, _marker(candidate), color=colour, markersize=8,
                  markerfacecolor=colour if on_front[at] else PAPER, zorder=3)  # fmt: skip
        if candidate is not None and candidate.speed is not None:
            latency = candidate.speed.latency[load]
            axes.plot([latency.low, latency.high], [sizes[at] / _MEGABYTE] * 2, color=colour, alpha=0.5, linewidth=2)
    _name(axes, names, [(times[at], sizes[at] / _MEGABYTE) for at in range(len(names))], found)
    axes.set_xlim(0, max(times) * 1.3)
    axes.set_ylim(0, max(sizes) / _MEGABYTE * 1.15)
    axes.set_xlabel("milliseconds a call, with quartiles", fontsize=9, color=MUTED)
    axes.set_ylabel("size in MB", fontsize=9, color=MUTED)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    return figure


def loss_plot(found: Quantization) -> "Figure":
    """What every candidate loses, with its interval, against the tolerance."""
    measured = [candidate for candidate in found.candidates if candidate.quality is not None]
    figure, axes = new_figure("Points lost against the float model", width=5.0, height=1.3 + 0.34 * len(measured))
    for row, candidate in enumerate(measured):
        if candidate.quality is None:
            continue
        colour = _colour(candidate, found.request.limits)
        low, high = candidate.quality.interval
        axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.4, solid_capstyle="round")
        axes.plot(candidate.quality.lost, row, _marker(candidate), color=colour, markersize=7)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.axvline(found.request.limits.tolerance, color=BAD, linewidth=1.2, linestyle="--")
    axes.annotate("tolerance", (found.request.limits.tolerance, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -4),
                  textcoords="offset points", fontsize=8, color=BAD, va="top")  # fmt: skip
    axes.set_yticks(range(len(measured)), [candidate.name for candidate in measured])
    axes.set_ylim(len(measured) - 0.4, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("points, with a 95% interval", fontsize=9, color=MUTED)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def served_plot(found: Comparison) -> "Figure":
    """Requests a second of the float model and the variant in the predictor, with the least and the most of the rounds."""
    figure, axes = new_figure(str(found.traffic), width=4.6, height=1.9)
    for row, (one, colour) in enumerate(((found.own, INK), (found.variant, GOOD))):
        low, high = one.rates.min(), one.rates.max()
        axes.barh(row, one.requests_per_second, height=0.6, color=colour)
        axes.plot([low, high], [row, row], color=PAPER, linewidth=3)
        axes.plot([low, high], [row, row], color=MUTED, linewidth=1.2)
        axes.annotate(f"{one.p50_ms:.3g} ms", (high, row), xytext=(6, 0), textcoords="offset points", fontsize=8,
                      color=MUTED, va="center")  # fmt: skip
    axes.set_yticks([0, 1], [found.own.server, found.variant.server])
    axes.set_ylim(1.5, -0.5)
    axes.set_xlim(0, max(one.rates.max() for one in (found.own, found.variant)) * 1.2)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("requests a second; beside the bars the median answer", fontsize=9, color=MUTED)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def time_plot(found: Quantization) -> "Figure":
    """Share of the float model's time by operation; those that hold weights that a method can quantize are marked."""
    shown = list(found.potential.time.items())[:_MOST_BARS]
    figure, axes = new_figure("Where the float model's time goes", width=5.0, height=1.2 + 0.28 * len(shown))
    for row, (operation, share) in enumerate(shown):
        axes.barh(row, 100 * share, height=0.66, color=ACCENT if operation in found.potential.layers else NEUTRAL)
    axes.set_yticks(range(len(shown)), [operation for operation, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "percent of a batch" + ("; blue: has weights to quantize" if found.potential.layers else ""), fontsize=9, color=MUTED
    )
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def _join(axes: Any, sizes: Sequence[float], times: Sequence[float], on_front: Sequence[bool]) -> None:
    front = sorted((times[at], sizes[at] / _MEGABYTE) for at in range(len(sizes)) if on_front[at])
    axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1, linestyle=":", zorder=1)


def _name(axes: Any, names: Sequence[str], points: Sequence[tuple[float, float]], found: Quantization) -> None:
    """A name beside each point; where points nearly meet, names stand below each other."""
    width, height = max(x for x, _ in points), max(y for _, y in points)
    placed: list[tuple[float, float]] = []
    for at in sorted(range(len(names)), key=lambda at: (points[at][1], points[at][0])):
        x, y = points[at]
        above = y
        while any(abs(x - other) < 0.4 * width and abs(above - level) < 0.055 * height for other, level in placed):
            above += 0.02 * height
        placed.append((x, above))
        bold = "bold" if found.winner is not None and names[at] == found.winner.name else "normal"
        axes.annotate(names[at], (x, y), xytext=(x + 0.03 * width, above), fontsize=8, color=INK, va="center", weight=bold)


def _median(candidate: Candidate, load: str) -> float:
    return candidate.speed.latency[load].median if candidate.speed else 0.0


def _colour(candidate: Candidate | None, limits: Limits) -> str:
    if candidate is None:
        return INK
    if candidate.method.variant == REFERENCE:
        return PALETTE[3]
    return BAD if candidate.failures(limits) else GOOD


def _marker(candidate: Candidate | None) -> str:
    if candidate is None:
        return "s"
    return "D" if candidate.method.variant == REFERENCE else "o"

"""Plots of a regressor's predictions; a sample of many rows is drawn, to keep the report small."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from stagewright.components.evaluation.plots import WIDTH, short_numbers
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.report import ACCENT, GRID, MUTED, PALETTE, label, new_figure, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.6
MOST_POINTS = 800
QUANTILES = 150
BINS = 30


def predicted_plot(outcome: Outcome, target: str) -> "Figure":
    """Predicted against true values; they are equal on the dashed line."""
    rows = _sample(len(outcome))
    figure, axes = new_figure("Predicted and true", width=WIDTH, height=HEIGHT)
    ends = [min(outcome.truth.min(), outcome.predicted.min()), max(outcome.truth.max(), outcome.predicted.max())]
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
    _dots(axes, outcome.truth[rows], outcome.predicted[rows])
    return _named(figure, axes, f"true {label(target)}", f"predicted {label(target)}")


def residuals_plot(outcome: Outcome, target: str) -> "Figure":
    """Residual against prediction: a funnel or a bend shows a systematic error."""
    rows, residuals = _sample(len(outcome)), outcome.truth - outcome.predicted
    figure, axes = new_figure("Residuals by prediction", width=WIDTH, height=HEIGHT)
    axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
    _dots(axes, outcome.predicted[rows], residuals[rows])
    return _named(figure, axes, f"predicted {label(target)}", "residual (true - predicted)")


def histogram_plot(outcome: Outcome) -> "Figure":
    """Distribution of the residuals; the lines are zero and their mean."""
    residuals = outcome.truth - outcome.predicted
    figure, axes = new_figure("Spread of the residuals", width=WIDTH, height=HEIGHT)
    axes.hist(residuals, bins=min(BINS, max(5, int(np.sqrt(len(residuals)) * 1.5))), color=ACCENT, alpha=0.8, rwidth=0.94)
    axes.axvline(0, color=MUTED, linewidth=1, linestyle="--")
    axes.axvline(residuals.mean(), color=PALETTE[1], linewidth=1.4, label=f"mean {text(float(residuals.mean()))}")
    axes.legend(fontsize=8, frameon=False)
    return _named(figure, axes, "residual (true - predicted)", "rows")


def normal_plot(outcome: Outcome) -> "Figure":
    """Quantiles of the residuals against a normal distribution with the same mean and standard deviation."""
    residuals = np.sort(outcome.truth - outcome.predicted)
    levels = (np.arange(1, min(len(residuals), QUANTILES) + 1) - 0.5) / min(len(residuals), QUANTILES)
    found, expected = np.quantile(residuals, levels), stats.norm.ppf(levels)
    figure, axes = new_figure("Residuals against normal (Q-Q)", width=WIDTH, height=HEIGHT)
    axes.plot(expected, residuals.mean() + residuals.std() * expected, color=MUTED, linewidth=1, linestyle="--")
    _dots(axes, expected, found)
    return _named(figure, axes, "quantile of the normal distribution", "quantile of the residuals")


def _sample(rows: int) -> np.ndarray:
    if rows <= MOST_POINTS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, size=MOST_POINTS, replace=False))


def _dots(axes: Any, x: np.ndarray, y: np.ndarray) -> None:
    axes.plot(x, y, "o", color=ACCENT, markersize=3.6, alpha=0.5, markeredgewidth=0)


def _named(figure: "Figure", axes: Any, x: str, y: str) -> "Figure":
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.grid(color=GRID, linewidth=0.7)
    short_numbers(axes)
    axes.set_axisbelow(True)
    return figure

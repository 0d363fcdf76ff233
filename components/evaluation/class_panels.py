"""Plots of a classifier with many classes: one panel or one row per class instead of many lines in one plot."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stagewright.components.evaluation.curves import Curve, precision_recall, roc
from stagewright.components.evaluation.plots import WIDTH
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.report import ACCENT, GRID, INK, MUTED, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 7  # maximum classes as lines of one plot
MOST_PANELS, MOST_ROWS = 12, 20
ACROSS, PANELS_WIDTH = 3, 6.4  # panels per row, and total width in inches: two plots side by side, or one on a narrow page
POINTS = 80
_TICKS = (0, 0.5, 1)


def roc_panels(outcome: Outcome) -> "Figure | None":
    """ROC curve of each class against the rest; None if no class has a curve."""
    return _panels(outcome, "ROC curve of each class against the rest", roc, "false positive rate", "recall", diagonal=True)


def precision_recall_panels(outcome: Outcome) -> "Figure | None":
    """Precision-recall curve of each class against the rest; the dashed line is the share of the class."""
    return _panels(outcome, "Precision and recall of each class", precision_recall, "recall", "precision", diagonal=False)


def scores_rows(outcome: Outcome) -> "Figure":
    """Probability of the true class: one row per class with median, quartiles, and the range from 5 to 95 percent."""
    codes = frequent(outcome, MOST_ROWS)
    probabilities = outcome.class_probabilities[np.arange(len(outcome)), outcome.truth]
    figure, axes = new_figure("Probability of the true class", width=WIDTH, height=1.0 + 0.27 * len(codes))
    for row, code in enumerate(codes):
        low, lower, median, upper, high = np.quantile(probabilities[outcome.truth == code], [0.05, 0.25, 0.5, 0.75, 0.95])
        axes.plot([low, high], [row, row], color=ACCENT, linewidth=1.2, alpha=0.6)
        axes.plot([lower, upper], [row, row], color=ACCENT, linewidth=5, alpha=0.4, solid_capstyle="butt")
        axes.plot(median, row, "o", color=ACCENT, markersize=5)
    axes.set_yticks(range(len(codes)), [label(outcome.labels[code], 22) for code in codes])
    axes.set_ylim(len(codes) - 0.4, -0.6)
    axes.set_xlim(-0.01, 1.01)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("dots: medians; thick: quartiles; thin: 5 to 95 %", fontsize=9, color=MUTED)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def frequent(outcome: Outcome, most: int) -> list[int]:
    """Indexes of the classes with the most rows, at most `most`, in the order of the model's classes."""
    counts = np.bincount(outcome.truth, minlength=len(outcome.labels))
    ordered = np.argsort(-counts, kind="stable")[:most]
    return sorted(int(code) for code in ordered if counts[code])


def left_out(outcome: Outcome, most: int) -> str:
    """A sentence on the classes that the plots leave out; empty if there are none."""
    classes = len(outcome.labels)
    return f"Plots show the {most} classes with the most test rows, of {classes:,}." if classes > most else ""


def _panels(
    outcome: Outcome, title: str, curve_of: Callable[..., Curve], across: str, up: str, *, diagonal: bool
) -> "Figure | None":
    from matplotlib.figure import Figure

    codes = [code for code in frequent(outcome, MOST_PANELS) if (outcome.truth == code).sum() < len(outcome)]
    if not codes:
        return None
    rows = -(-len(codes) // ACROSS)
    figure = Figure(figsize=(PANELS_WIDTH, 1.95 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left")
    figure.supxlabel(across, fontsize=9, color=MUTED)
    figure.supylabel(up, fontsize=9, color=MUTED)
    places = list(figure.subplots(rows, ACROSS, squeeze=False, sharex=True, sharey=True).flat)
    for axes in places[len(codes) :]:
        axes.set_axis_off()
    for axes, code in zip(places, codes, strict=False):
        positive = outcome.truth == code
        curve = curve_of(positive, outcome.class_probabilities[:, code], points=POINTS)
        guess = ([0, 1], [0, 1]) if diagonal else ([0, 1], [positive.mean()] * 2)
        axes.plot(*guess, color=MUTED, linewidth=0.9, linestyle="--")
        axes.plot(curve.x, curve.y, color=ACCENT, linewidth=1.7)
        axes.set_title(label(outcome.labels[code], 20), fontsize=10, color=INK, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(_TICKS)
        axes.set_yticks(_TICKS)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.04)
        axes.tick_params(labelsize=8, colors=MUTED, labelbottom=True)
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
    return figure

"""Plots of a classifier's predictions for few classes, which fit into one plot."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stagewright.components.evaluation.curves import Curve, confusion, precision_recall, reliability, roc
from stagewright.components.evaluation.plots import WIDTH
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime.report import ACCENT, GRID, INK, MUTED, ON_PICTURE, PAPER, label, line_style, new_figure
from stagewright.components.runtime.schema import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.6
MOST_NUMBERS = 12  # maximum classes of a confusion matrix with counts in its cells
MOST_CLASSES = 30  # classes of a confusion matrix; the others are merged
BINS = 25
_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)))  # lines are distinguishable without color


def roc_plot(outcome: Outcome) -> "Figure":
    """ROC curve; one class against the rest for more than two classes."""
    figure, axes = new_figure("ROC curve", width=WIDTH, height=HEIGHT)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    for number, (name, positive, scores) in enumerate(_curves(outcome)):
        curve = roc(positive, scores)
        _draw(axes, curve, number, name)
        if outcome.task is Task.BINARY:
            axes.fill_between(curve.x, curve.y, color=ACCENT, alpha=0.07, linewidth=0)
    return _unit_square(figure, axes, "false positive rate", "true positive rate (recall)", legend="lower right")


def precision_recall_plot(outcome: Outcome) -> "Figure":
    """Precision-recall curve; the dashed line is the share of the class."""
    figure, axes = new_figure("Precision and recall", width=WIDTH, height=HEIGHT)
    for number, (name, positive, scores) in enumerate(_curves(outcome)):
        _draw(axes, precision_recall(positive, scores), number, name)
        if outcome.task is Task.BINARY:
            axes.axhline(positive.mean(), color=MUTED, linewidth=1, linestyle="--")
    return _unit_square(figure, axes, "recall", "precision", legend="lower left")


def calibration_plot(outcome: Outcome) -> "Figure":
    """Predicted probability against observed frequency, with 95 % intervals; below, the number of rows in each bin."""
    points = reliability(outcome)
    figure, axes = new_figure("Calibration: claimed and true", width=WIDTH, height=HEIGHT)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    share = points.rows / points.rows.max() * 0.16
    axes.bar(points.claimed, share, width=0.045, color=MUTED, alpha=0.25, linewidth=0)
    errors = np.vstack([points.observed - points.low, points.high - points.observed]).clip(0)
    axes.errorbar(points.claimed, points.observed, yerr=errors, fmt="o-", color=ACCENT, markersize=4.5, linewidth=1.2)
    claim = f"probability of {label(outcome.labels[1])}" if outcome.task is Task.BINARY else "highest probability"
    return _unit_square(figure, axes, f"{claim} (bars: rows)", "share that came true")


def scores_plot(outcome: Outcome, threshold: float) -> "Figure":
    """Distribution of the scores by class: of the second class for two classes, of the true class for more.

    Args:
        threshold: Decision threshold of a binary model, drawn as a line.
    """
    binary = outcome.task is Task.BINARY
    scores = (
        outcome.class_probabilities[:, 1] if binary else outcome.class_probabilities[np.arange(len(outcome)), outcome.truth]
    )
    figure, axes = new_figure("Scores by true class", width=WIDTH, height=HEIGHT)
    edges = np.linspace(0, 1, BINS + 1)
    for code, name in enumerate(outcome.labels):
        part = scores[outcome.truth == code]
        if len(part):
            share, color = np.histogram(part, edges)[0] / len(part), line_style(code)["color"]
            axes.stairs(share, edges, color=color, fill=True, alpha=0.22)
            axes.stairs(share, edges, color=color, linewidth=1.4, label=label(name))
    if binary:
        axes.axvline(threshold, color=MUTED, linewidth=1, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"probability of {label(outcome.labels[1]) if binary else 'the true class'}", fontsize=9, color=MUTED)
    axes.set_ylabel("share of the class", fontsize=9, color=MUTED)
    _legend(axes, "best")
    return figure


def confusion_plot(outcome: Outcome) -> "Figure":
    """Counts by true and predicted class, colored by share of the true class; rare ones of many classes are merged."""
    from matplotlib.colors import to_rgb

    outcome = _merged(outcome)
    matrix, classes = confusion(outcome), len(outcome.labels)
    side = float(np.clip(2.5 + 0.3 * classes, HEIGHT, 8.0))
    figure, axes = new_figure("Confusion matrix", width=WIDTH if classes <= 6 else side + 0.8, height=side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # One color with transparency: an image cannot change its colors with the page's theme.
    axes.imshow(np.dstack([np.broadcast_to(to_rgb(ACCENT), (classes, classes, 3)), shares]), aspect="auto")
    if classes <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            share = shares[row, column]
            color = ON_PICTURE if share > 0.55 else INK
            text = f"{count:,}\n{share:.0%}" if classes <= 6 else f"{count:,}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9 if classes <= 8 else 7)
    ticks, names = np.arange(classes), [label(name, 16) for name in outcome.labels]
    crowded = sum(map(len, names)) > 36
    axes.set_xticks(ticks, names, rotation=45 if crowded else 0, ha="right" if crowded else "center")
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answered", fontsize=9, color=MUTED)
    axes.set_ylabel("true", fontsize=9, color=MUTED)
    return figure


def _merged(outcome: Outcome) -> Outcome:
    """The same outcome with the rarest of many classes merged."""
    classes = len(outcome.labels)
    if classes <= MOST_CLASSES:
        return outcome
    counts = np.bincount(outcome.truth, minlength=classes)
    kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])
    places = np.full(classes, len(kept))
    places[kept] = np.arange(len(kept))
    labels = (*(outcome.labels[code] for code in kept), f"{classes - len(kept):,} others")
    return Outcome(outcome.task, places[outcome.truth], places[outcome.predicted], None, labels)


def _curves(outcome: Outcome) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Name, positive rows and scores of each curve; a class without positive or negative rows has none."""
    codes = [1] if outcome.task is Task.BINARY else range(len(outcome.labels))
    curves = [(label(outcome.labels[code], 18), outcome.truth == code, outcome.class_probabilities[:, code]) for code in codes]
    return [(name, positive, scores) for name, positive, scores in curves if 0 < positive.sum() < len(positive)]


def _legend(axes: Any, place: str) -> None:
    names = axes.get_legend_handles_labels()[1]
    if names:
        axes.legend(fontsize=8 if len(names) < 5 else 7, facecolor=PAPER, framealpha=0.75, edgecolor="none", loc=place)


def _draw(axes: Any, curve: Curve, number: int, name: str) -> None:
    axes.plot(curve.x, curve.y, linewidth=1.8, label=name, color=line_style(number)["color"], linestyle=_DASHES[number % 3])


def _unit_square(figure: "Figure", axes: Any, x: str, y: str, *, legend: str = "") -> "Figure":
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    if legend:
        _legend(axes, legend)
    return figure

"""Plots of a teacher and its students."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stagewright.components.metrics.metrics import METRICS
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.optimization.distillation.compare import Comparison
from stagewright.components.runtime.report import ACCENT, BAD, GOOD, GRID, INK, MUTED, PALETTE, label, new_figure
from stagewright.components.runtime.schema import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stagewright.components.optimization.distillation.result import Attempt

TEACHER, STUDENT = MUTED, ACCENT
WIDTH = 4.9
_INTERVALS = ("roc_auc", "pr_auc", "accuracy", "f1", "r2")


def agreement_plot(teacher: Outcome, student: Outcome) -> "Figure":
    """What both answer for each test row: on the line they agree."""
    if teacher.task is Task.REGRESSION:
        x, y, what = teacher.predicted, student.predicted, "value"
    elif teacher.task is Task.BINARY:
        x, y, what = (
            teacher.class_probabilities[:, 1],
            student.class_probabilities[:, 1],
            f"probability of {label(teacher.labels[1])}",
        )
    else:
        top, rows = teacher.class_probabilities.argmax(axis=1), np.arange(len(teacher))
        x, y, what = (
            teacher.class_probabilities[rows, top],
            student.class_probabilities[rows, top],
            "probability of the teacher's class",
        )
    figure, axes = new_figure("Answers to the test rows", width=WIDTH, height=4.2)
    same = teacher.predicted == student.predicted
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1, zorder=0)
    size = 14 if len(x) < 500 else 7
    if teacher.task is Task.REGRESSION:
        axes.scatter(x, y, s=size, color=STUDENT, alpha=0.45, linewidths=0)
    else:
        axes.scatter(
            x[same], y[same], s=size, color=STUDENT, alpha=0.4, linewidths=0, label=f"same answer ({int(same.sum()):,})"
        )
        axes.scatter(
            x[~same], y[~same], s=size + 4, color=BAD, alpha=0.75, linewidths=0, label=f"another ({int((~same).sum()):,})"
        )
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.set_xlabel(f"teacher: {what}", fontsize=9, color=MUTED)
    axes.set_ylabel("student", fontsize=9, color=MUTED)
    return figure


def latency_plot(test: Comparison) -> "Figure":
    """Bars of both, for single rows and batches, on a logarithmic scale."""
    figure, axes = new_figure("Time per row, one thread", width=WIDTH, height=3.0)
    many = test.latency["student"].batch_rows
    rows = [("one row", "single_row", 1), (f"in a batch of {many:,}", "batch", many)]
    for at, (_, load, count) in enumerate(rows):
        for shift, who, color in ((-0.19, "teacher", TEACHER), (0.19, "student", STUDENT)):
            micros = getattr(test.latency[who], load) / count * 1e6
            axes.barh(at + shift, micros, height=0.34, color=color, label=who if at == 0 else None)
            axes.annotate(f"{micros:.3g} µs", (micros, at + shift), xytext=(4, 0), textcoords="offset points", va="center",
                          fontsize=8, color=INK)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 4)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("microseconds", fontsize=9, color=MUTED)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def quality_plot(test: Comparison) -> "Figure":
    """Both models' metrics with their 95 % intervals."""
    names = [name for name in (test.metric.name, *_INTERVALS) if all(name in found for found in test.intervals.values())]
    names = list(dict.fromkeys(names))
    if test.metric.name == "rmse":
        names = ["rmse"]
    figure, axes = new_figure(
        "Quality on the test rows, with 95 % intervals", width=WIDTH, height=1.2 + 0.62 * max(len(names), 1)
    )
    for at, name in enumerate(names):
        for shift, who, color, measured in (
            (-0.14, "teacher", TEACHER, test.teacher), (0.14, "student", STUDENT, test.student),
        ):  # fmt: skip
            low, high = test.intervals[who][name]
            axes.plot([low, high], [at + shift] * 2, color=color, linewidth=3, alpha=0.4, solid_capstyle="round")
            axes.plot(measured.values[name], at + shift, "o", color=color, markersize=6, label=who if at == 0 else None)
    axes.set_yticks(range(len(names)), [METRICS[name].label for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    if names:
        axes.legend(fontsize=8, frameon=False, loc="best")
    return figure


def students_plot(attempts: "list[Attempt]", chosen: "Attempt", load: str) -> "Figure":
    """Every student by its speed and its quality on the validation rows: who passed, who did not, who was chosen."""
    metric = chosen.validation.metric
    shown = "single_row" if load == "single_row" else "batch"
    what = "one row" if shown == "single_row" else f"a batch of {chosen.validation.latency['student'].batch_rows:,} rows"
    figure, axes = new_figure("Students tried, on the validation rows", width=9.6, height=3.6)
    places: list[tuple[float, float, str, Any]] = []
    for attempt in attempts:
        quality = attempt.validation.student.values.get(metric.name)
        if quality is not None:
            seconds = getattr(attempt.validation.latency["student"], shown)
            color = BAD if attempt.failures else GOOD
            places.append((seconds * 1e3, quality, attempt.student.name, color))
    for x, y, name, color in places:
        axes.plot(x, y, "o", color=color, markersize=7)
        axes.annotate(
            label(name), (x, y), xytext=(8, 4 if "few" in name else -11), textcoords="offset points", fontsize=8, color=INK
        )
    own = chosen.validation.student.values.get(metric.name)
    if own is not None:
        axes.plot(getattr(chosen.validation.latency["student"], shown) * 1e3, own, "o", markersize=14, markerfacecolor="none",
                  markeredgecolor=PALETTE[0], markeredgewidth=1.6)  # fmt: skip
    theirs = chosen.validation.teacher.values.get(metric.name)
    if theirs is not None:
        x = getattr(chosen.validation.latency["teacher"], shown) * 1e3
        axes.plot(x, theirs, "D", color=TEACHER, markersize=7)
        axes.annotate("teacher", (x, theirs), xytext=(-8, 6), textcoords="offset points", fontsize=8, color=MUTED, ha="right")
        axes.axhline(theirs, color=MUTED, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.25)
    axes.margins(y=0.18)
    axes.set_xlabel(f"milliseconds for {what}", fontsize=9, color=MUTED)
    axes.set_ylabel(metric.label, fontsize=9, color=MUTED)
    return figure

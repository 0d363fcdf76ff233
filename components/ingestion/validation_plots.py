"""Plots of a table: the target, each column, missing values, and the association of numbers with the target."""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from stagewright.components.ingestion.profile import ColumnProfile, Profile
from stagewright.components.runtime.report import (
    ACCENT,
    BAD,
    INK,
    MUTED,
    PALETTE,
    PAPER,
    draw_picture,
    label,
    new_figure,
    part_of,
    short,
)
from stagewright.components.runtime.schema import ColumnKind, Schema, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 12
MAX_ROWS_OF_BARS = 20
HISTOGRAM_BINS = 30
GRID_COLUMNS, SMALL_BARS = 4, 6


def target_plot(profile: Profile, schema: Schema) -> "Figure":
    """Frequency of each class, or the distribution of a numeric target."""
    figures = profile.columns[schema.target or ""]
    figure, axes = new_figure(label(f"Distribution of {figures.name}", 60), width=5.4, height=3.1)
    if schema.task is Task.REGRESSION:
        _histogram(axes, profile.sample.get_column(figures.name), ACCENT)
        axes.set_ylabel("rows", fontsize=9, color=MUTED)
    else:
        shown = figures.top[:MAX_BARS]
        in_order = sorted((value for value, _ in shown), key=str)  # the colors of the classes in the histograms
        _bars(axes, shown, figures.present, [PALETTE[in_order.index(value) % len(PALETTE)] for value, _ in shown])
    return figure


def columns_plot(profile: Profile, schema: Schema, names: list[str]) -> "Figure":
    """A small histogram or bar chart for each column; classes are distinguished by color if there are few.

    All columns share one figure, because a layout for each takes several times as long.
    """
    from matplotlib.figure import Figure

    rows = -(-len(names) // GRID_COLUMNS)
    figure = Figure(figsize=(11.0, 1.75 * rows + 0.2), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.06)  # type: ignore[union-attr,call-arg]
    places = figure.subplots(rows, GRID_COLUMNS, squeeze=False).flat
    for axes in places[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(places, names, strict=False):
        axes.set_title(label(name, 30), fontsize=9.5, color=INK, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7.5, colors=MUTED)
        _column(axes, profile, schema, profile.columns[name])
    return figure


def missing_plot(profile: Profile) -> "Figure | None":
    """Share of missing values by column, largest first; None if nothing is missing."""
    ordered = sorted((c for c in profile.columns.values() if c.nulls), key=lambda c: (-c.nulls, c.name))
    incomplete = ordered[:MAX_ROWS_OF_BARS]
    if not incomplete:
        return None
    height = 1.1 + 0.27 * len(incomplete)
    figure, axes = new_figure(part_of("Share of rows without a value", len(incomplete), len(ordered)), width=5.4, height=height)
    shares = [100 * column.null_share for column in incomplete]
    bars = axes.barh([label(column.name) for column in incomplete], shares, color=BAD, height=0.62)
    axes.bar_label(bars, [percent(share / 100) for share in shares], padding=4, fontsize=8, color=MUTED)
    axes.invert_yaxis()
    axes.set_xlim(0, min(max(1.25 * max(shares), 5.0), 118))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure


def association_plot(profile: Profile, schema: Schema) -> "Figure | None":
    """Association of numbers with the target; None if there is no number.

    Pearson correlation for a numeric target or two classes (the second class counts as 1); for more classes the correlation
    ratio, the square root of the share of variance that the classes explain.
    """
    whole = associations(profile, schema)
    found = whole[:MAX_ROWS_OF_BARS]
    if not found:
        return None
    several = schema.task is Task.MULTICLASS
    title = f"{'Correlation ratio' if several else 'Correlation'} of numbers with {short(schema.target, 20)}"
    figure, axes = new_figure(
        part_of(title, len(found), len(whole)).replace("$", r"\$"), width=5.4, height=1.1 + 0.27 * len(found)
    )
    scores = [score for _, score in found]
    colors = [ACCENT if score >= 0 else PALETTE[1] for score in scores]
    bars = axes.barh([label(name) for name, _ in found], scores, color=colors, height=0.62)
    axes.bar_label(
        bars, [f"{score:+.2f}" if not several else f"{score:.2f}" for score in scores], padding=4, fontsize=8, color=MUTED
    )
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlim(-1.2 if min(scores) < 0 else 0, 1.2)
    return figure


def associations(profile: Profile, schema: Schema) -> list[tuple[str, float]]:
    """Association of each numeric feature with the target, strongest first; constant columns are left out."""
    target = profile.sample.get_column(schema.target or "")
    found = []
    for column in schema.features:
        figures = profile.columns.get(column.name)
        if figures is None or not figures.number or column.kind is ColumnKind.IDENTIFIER:
            continue
        pair = pl.DataFrame({"x": profile.sample.get_column(column.name).cast(pl.Float64), "y": target}).drop_nulls()
        score = _correlation_ratio(pair) if schema.task is Task.MULTICLASS else _correlation(pair, schema.task)
        if score is not None and np.isfinite(score):
            found.append((column.name, score))
    return sorted(found, key=lambda each: (-abs(each[1]), each[0]))


def _correlation(pair: pl.DataFrame, task: Task | None) -> float | None:
    numbers = pl.col("y").cast(pl.Float64) if task is Task.REGRESSION else pl.col("y").rank("dense").cast(pl.Float64)
    return pair.select(pl.corr("x", numbers)).item() if pair.height > 2 else None


def _correlation_ratio(pair: pl.DataFrame) -> float | None:
    whole = pair["x"].var() if pair.height > 2 else None
    if not whole:
        return None
    means = pair.select(pl.col("x").mean().over("y").alias("mean"))["mean"]
    return float(np.sqrt(min(1.0, float(means.var()) / float(whole))))  # type: ignore[arg-type]


def _column(axes: Any, profile: Profile, schema: Schema, figures: ColumnProfile) -> None:
    if figures.time or (figures.number and figures.distinct > MAX_BARS):
        values = profile.sample.get_column(figures.name)
        return _histogram(axes, values, ACCENT, _by_class(profile, schema, figures.name))
    if figures.number:
        values = profile.sample.get_column(figures.name)
        counts = values.drop_nulls().value_counts().sort(figures.name)
        return _bars(axes, tuple(counts.rows()), len(values) - values.null_count(), [ACCENT] * MAX_BARS)
    return _bars(axes, figures.top[:SMALL_BARS], figures.present, [ACCENT] * SMALL_BARS)


def _by_class(profile: Profile, schema: Schema, name: str) -> dict[Any, pl.Series] | None:
    target = schema.target or ""
    figures = profile.columns[target]
    if schema.task is Task.REGRESSION or not 1 < figures.distinct <= 4 or name == target:
        return None
    return {
        value: profile.sample.filter(pl.col(target) == value).get_column(name)
        for value, _ in sorted(figures.top, key=lambda each: str(each[0]))
    }


def _histogram(axes: Any, values: pl.Series, color: str, parts: dict[Any, pl.Series] | None = None) -> None:
    finite = _plottable(values)
    if not len(finite):
        return
    edges = np.histogram_bin_edges(finite.astype("int64") if finite.dtype.kind == "M" else finite, bins=HISTOGRAM_BINS)
    if finite.dtype.kind == "M":
        edges = edges.astype("int64").astype(finite.dtype)
        axes.tick_params(axis="x", rotation=30)
    if parts is None:
        axes.hist(finite, bins=edges, color=color, edgecolor=PAPER, linewidth=0.4)
    else:
        series = [_plottable(part) for part in parts.values()]
        axes.hist(series, bins=edges, stacked=True, label=[label(key, 14) for key in parts], color=PALETTE[: len(series)])
        axes.legend(fontsize=6.5, frameon=False, handlelength=1)
    axes.locator_params(axis="y", nbins=4)
    if finite.dtype.kind != "M":
        axes.locator_params(axis="x", nbins=5)


def _plottable(values: pl.Series) -> np.ndarray:
    present = values.drop_nulls()
    if present.dtype.is_temporal():
        return present.cast(pl.Datetime("us")).to_numpy()
    numbers = present.cast(pl.Float64).to_numpy()
    return numbers[np.isfinite(numbers)]


def _bars(axes: Any, top: tuple[tuple[Any, int], ...], present: int, colors: list[str]) -> None:
    shown = list(top)
    rest = present - sum(rows for _, rows in shown)
    names = [label(value, 18) for value, _ in shown] + (["others"] if rest > 0 else [])
    counts = [rows for _, rows in shown] + ([rest] if rest > 0 else [])
    places = np.arange(len(names))
    bars = axes.barh(places, counts, color=[*colors[: len(shown)], MUTED][: len(names)], height=0.66)
    axes.set_yticks(places, names)
    axes.bar_label(bars, [percent(rows / max(present, 1)) for rows in counts], padding=3, fontsize=7, color=MUTED)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*counts, 1]) * 1.25)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def pictures_plot(name: str, pictures: np.ndarray) -> "Figure":
    """Some of a column's images, [N, C, H, W]."""
    from matplotlib.figure import Figure

    across = min(12, len(pictures))
    down = -(-len(pictures) // across)
    figure = Figure(figsize=(11.0, 11.0 / 12 * down + 0.4), layout="constrained")
    figure.suptitle(label(f"{name}: rows spread over the table", 60), fontsize=9.5, color=INK, x=0.01, ha="left")
    places = list(figure.subplots(down, 12, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, picture in zip(places, pictures, strict=False):
        draw_picture(axes, picture)
    return figure


def summary_row(figures: ColumnProfile) -> tuple[str, str, str]:
    """Smallest, largest and typical value, for the table of columns."""
    if figures.shape is not None:
        return "", "", f"shape {' x '.join(map(str, figures.shape))}"
    if figures.number or figures.time:
        spread = "" if figures.mean is None else f"mean {number(figures.mean)}, deviation {number(figures.deviation or 0.0)}"
        return number(figures.minimum), number(figures.maximum), spread
    return "", "", ", ".join(f"{value} ({percent(rows / max(figures.present, 1))})" for value, rows in figures.top[:3])


def number(value: Any) -> str:
    """A number or time for display.

    >>> number(2266.77), number(0.04951), number(7), number(None)
    ('2,267', '0.04951', '7', '')
    """
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return "" if value is None else str(value)


def percent(share: float) -> str:
    """A share for display.

    >>> percent(1.0), percent(0.2654), percent(0.00156), percent(0.00001)
    ('100 %', '27 %', '0.16 %', '<0.01 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %" if value >= 0.01 else "<0.01 %"

"""HTML reports: one self-contained file with plots, readable on a laptop, in the Kubeflow dashboard and on paper."""

import html
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.report_style import (
    ACCENT,
    BAD,
    GOOD,
    GRID,
    INK,
    MUTED,
    NEUTRAL,
    ON_PICTURE,
    PALETTE,
    PAPER,
    STYLE,
    themed,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "BAD",
    "GOOD",
    "GRID",
    "INK",
    "MUTED",
    "NEUTRAL",
    "ON_PICTURE",
    "PALETTE",
    "PAPER",
    "Page",
    "bullets",
    "details",
    "draw_picture",
    "figures",
    "label",
    "line_style",
    "new_figure",
    "paragraph",
    "part_of",
    "short",
    "side_by_side",
    "table",
    "text",
]  # fmt: skip

MOST_ROWS, MOST_ITEMS = 100, 30  # of a table and of a list: nobody reads 5,000 names
MOST_CHARACTERS = 400  # of a cell
_WIDE_INCHES = 6.5  # a figure wider than this has a row of its own
_DASHES = ("-", "--", ":")


class Page:
    """A report under construction; every text given to it is escaped unless the parameter is called `markup`."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []

    def tiles(self, tiles: Iterable[tuple[str, Any] | tuple[str, Any, str]]) -> None:
        """A row of key figures: (label, value) or (label, value, note)."""
        self._parts.append(f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>')

    def banner(self, verdict: str, *markup: str, good: bool) -> None:
        """The outcome in one line, green or red, and what there is to say about it."""
        style = "good" if good else "bad"
        self._parts.append(f'<div class="banner {style}"><b class="{style}">{text(verdict)}</b>{"".join(markup)}</div>')

    def markup(self, *markup: str) -> None:
        """HTML between the sections."""
        self._parts.extend(markup)

    def section(self, heading: str, *markup: str) -> None:
        self._parts.append(f"<section><h2>{text(heading)}</h2>{''.join(markup)}</section>")

    def render(self) -> str:
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(self.title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
            f'<body><main><h1>{text(self.title)}</h1><p class="subtitle">{text(self.subtitle)}</p>'
            f"{''.join(self._parts)}</main></body></html>\n"
        )

    def write(self, path: str | Path) -> None:
        Path(path).write_text(self.render(), encoding="utf-8")


def text(value: Any) -> str:
    """A value as escaped text: floats to four significant digits, nothing as a dash.

    >>> text(0.123456), text(0.5), text(65432.1), text(None), text("<b>")
    ('0.1235', '0.5000', '65,432', '—', '&lt;b&gt;')
    """
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:#.4g}".rstrip(".") if value else "0"
    return html.escape(str(value))


def paragraph(value: str, *, style: str = "") -> str:
    """A paragraph; style is good, bad, muted or nothing."""
    return f'<p class="{style}">{text(value)}</p>'


def bullets(items: Iterable[str], *, style: str = "", most: int = MOST_ITEMS, whole: str = "") -> str:
    """A list; of a long one the first items, and how many more there are.

    Args:
        most: How many items are shown.
        whole: Where the whole list is, as the subject of a sentence: "the schema file".
    """
    given = list(items)
    shown = "".join(f"<li>{text(item)}</li>" for item in given[:most])
    rest = f"<li>{text(_rest(most, len(given), 'lines', whole))}</li>" if len(given) > most else ""
    return f'<ul class="{style}">{shown}{rest}</ul>'


def side_by_side(*markup: str) -> str:
    """Blocks side by side, below each other where the page is narrow."""
    return '<div class="side_by_side">' + "".join(f"<div>{block}</div>" for block in markup) + "</div>"


def details(summary: str, *markup: str) -> str:
    """What is shown when asked for."""
    return f"<details><summary>{text(summary)}</summary>{''.join(markup)}</details>"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    styles: Sequence[str] | None = None,
    most: int = MOST_ROWS,
    whole: str = "",
) -> str:
    """A table; columns that hold only numbers are set flush right. Of a long one the first rows, and how many there are in all.

    Args:
        styles: For each row good, bad, muted or nothing.
        most: How many rows are shown.
        whole: Where the whole table is, as the subject of a sentence: "the schema file".
    """
    given = [list(row) for row in rows]
    body, css = given[:most], list(styles or [""] * len(given))[:most]
    numeric = [_is_numeric(column) for column in zip(*body, strict=True)] or [False] * len(header)
    style = [' class="n"' if right else "" for right in numeric]
    head = "".join(f"<th{align}>{text(name)}</th>" for name, align in zip(header, style, strict=True))
    lines = "".join(
        f"<tr{_class(look)}>"
        + "".join(f"<td{align}>{_cell(cell)}</td>" for cell, align in zip(row, style, strict=True))
        + "</tr>"
        for row, look in zip(body, css, strict=True)
    )
    rest = paragraph(_rest(most, len(given), "rows", whole), style="muted") if len(given) > most else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>{rest}'


def figures(*plots: "Figure") -> str:
    """Plots side by side, as inline SVG; each figure is closed."""
    return '<div class="figures">' + "".join(_svg(plot) for plot in plots) + "</div>"


def new_figure(title: str, *, width: float = 5.0, height: float = 3.4) -> "tuple[Figure, Any]":
    """A figure and its axes in the reports' style, sized in inches; made without pyplot, so that nothing global is touched."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=9, colors=MUTED)
    axes.set_prop_cycle(color=PALETTE)
    return figure, axes


def part_of(title: str, shown: int, count: int) -> str:
    """A plot's title that says how many of all are drawn, where that is not all.

    >>> part_of("Missing values", 3, 3), part_of("Missing values", 20, 1200)
    ('Missing values', 'Missing values: first 20 of 1,200')
    """
    return title if shown >= count else f"{title}: first {shown:,} of {count:,}"


def line_style(number: int) -> dict[str, str]:
    """Colour and dashes of the line with that number, from 0 on, as parameters of matplotlib; the first 24 differ.

    >>> line_style(0), line_style(8)
    ({'color': '#2563a8', 'linestyle': '-'}, {'color': '#2563a8', 'linestyle': '--'})
    """
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": _DASHES[number // len(PALETTE) % len(_DASHES)],
    }


def draw_picture(axes: Any, picture: "np.ndarray") -> None:
    """Draw an image [channels, height, width] of bytes: grey, colours, or the first channel of any other number."""
    grey = picture.shape[0] != 3
    shown = picture[0] if grey else picture.transpose(1, 2, 0)
    axes.imshow(shown, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest")


def label(value: Any, limit: int = 28) -> str:
    """A value as text for a plot: on one line, its middle left out if it is long, dollar signs not read as mathematics."""
    return short(value, limit).replace("$", r"\$")


def short(value: Any, limit: int = 28) -> str:
    """A value as text on one line, its middle left out if it is long.

    >>> short("one\\ntwo"), short("abcdefghijkl", 10)
    ('one two', 'abcdef…jkl')
    """
    shown = "".join(character if character.isprintable() else " " for character in str(value))
    tail = limit // 3  # names often differ at their end
    return shown if len(shown) <= limit else f"{shown[: limit - tail - 1]}…{shown[-tail:]}"


def _tile(label: str, value: Any, note: str = "") -> str:
    extra = f"<span>{text(note)}</span>" if note else ""
    return f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span>{extra}</div>'


def _rest(shown: int, count: int, what: str, whole: str) -> str:
    return f"The first {shown:,} of {count:,} {what}{f'; {whole} holds all' if whole else ''}."


def _cell(value: Any) -> str:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        value = f"{value[:MOST_CHARACTERS]}…"
    return text(value)


def _is_numeric(cells: Sequence[Any]) -> bool:
    given = [cell for cell in cells if cell is not None]
    return bool(given) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _svg(figure: "Figure") -> str:
    import matplotlib

    buffer = io.StringIO()
    # A fixed salt and no date: the same data gives the same bytes. Text stays text: smaller, searchable; a glyph that this
    # machine's font lacks is drawn by the reader's browser.
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "stagewright", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue().split("?>", 1)[-1].split('.dtd">', 1)[-1].strip()
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center") if axes.get_title(loc)]
    name = html.escape(", ".join(titles).replace(r"\$", "$"))
    drawing = themed(drawing).replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
    return f"<figure{_class('wide' if figure.get_figwidth() > _WIDE_INCHES else '')}>{drawing}</figure>"

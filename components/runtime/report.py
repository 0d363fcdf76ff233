"""HTML reports: one self-contained file with plots, readable on a laptop, in the Kubeflow dashboard and on paper."""

import html
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, GOOD, BAD = "#1c2733", "#5f6f81", "#2563a8", "#1d7f4e", "#b3382c"
PALETTE = (ACCENT, "#d9822b", GOOD, "#8a4fa3", BAD, "#4b9aa8", "#a08136", "#c0628f")

_WIDE_INCHES = 6.5  # a figure wider than this has a row of its own

_STYLE = f"""
:root {{ color-scheme: light }}
* {{ box-sizing: border-box }}
body {{ font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: {INK}; background: #f4f6f8;
  margin: 0; overflow-wrap: break-word }}
main {{ max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 0 }} h2 {{ font-size: 18px; margin: 0 0 10px }}
h3 {{ font-size: 15px; margin: 14px 0 6px }} p {{ margin: 0 0 10px }} ul {{ margin: 0 0 10px; padding-left: 22px }}
code {{ font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: #eef2f5; border-radius: 4px;
  padding: 1px 4px }}
.subtitle {{ color: {MUTED}; margin: 4px 0 20px }}
section, .tile, .banner {{ background: #fff; border: 1px solid #dfe5eb; border-radius: 8px }}
section {{ padding: 18px 20px; margin: 0 0 16px }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: 0 0 6px }}
th, td {{ text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid #edf1f4; vertical-align: top }}
tbody tr:last-child td {{ border-bottom: 0 }}
th {{ color: {MUTED}; font-weight: 600; font-size: 13px; white-space: nowrap }}
td.n, th.n {{ text-align: right; white-space: nowrap }}
.scroll {{ overflow-x: auto; margin: 0 0 10px }}
.figures {{ display: flex; flex-wrap: wrap; gap: 16px 24px }}
.figures figure {{ flex: 1 1 340px; min-width: 0; max-width: 500px; margin: 0 }}
.figures figure.wide {{ flex-basis: 100%; max-width: 100% }}
.figures figure.wide {{ overflow-x: auto }} .figures figure.wide svg {{ min-width: 620px }}
.figures svg {{ display: block; width: 100%; height: auto }} .figures svg text {{ font-family: inherit !important }}
.beside {{ display: flex; flex-wrap: wrap; gap: 8px 28px }}
.beside > div {{ flex: 1 1 340px; min-width: 0 }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0 0 16px }}
.tile {{ padding: 12px 16px }} .tile b {{ display: block; font-size: 24px; line-height: 1.25; font-weight: 600 }}
.tile span {{ display: block; color: {MUTED}; font-size: 13px }}
.banner {{ padding: 14px 20px; margin: 0 0 16px; border-left-width: 5px }} .banner p, .banner ul {{ margin: 4px 0 0 }}
.banner.good {{ border-left-color: {GOOD} }}
.banner.bad {{ border-left-color: {BAD} }} .banner.good, .banner.bad {{ color: {INK} }}
.banner > b {{ font-size: 17px }}
.good {{ color: {GOOD} }} .bad {{ color: {BAD} }} .muted {{ color: {MUTED} }}
blockquote {{ margin: 0 0 10px; padding: 8px 14px; border-left: 4px solid {PALETTE[1]}; background: #fdf6ec }}
blockquote p {{ margin: 0 }}
details {{ margin: 10px 0 0 }}
summary {{ cursor: pointer; color: {ACCENT} }}
@media (max-width: 640px) {{
  main {{ padding: 16px 10px 40px }} section {{ padding: 14px 12px }} th, td {{ padding-right: 9px }} }}
@media print {{ body {{ background: #fff }} main {{ max-width: none; padding: 0 }} section, .tile {{ break-inside: avoid }} }}
"""


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
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
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


def bullets(items: Iterable[str], *, style: str = "") -> str:
    return f'<ul class="{style}">' + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>"


def beside(*markup: str) -> str:
    """Blocks side by side, below each other where the page is narrow."""
    return '<div class="beside">' + "".join(f"<div>{block}</div>" for block in markup) + "</div>"


def details(summary: str, *markup: str) -> str:
    """What is shown when asked for."""
    return f"<details><summary>{text(summary)}</summary>{''.join(markup)}</details>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, styles: Sequence[str] | None = None) -> str:
    """A table; columns that hold only numbers are set flush right.

    Args:
        styles: For each row good, bad, muted or nothing.
    """
    body = [list(row) for row in rows]
    numeric = [_is_numeric(column) for column in zip(*body, strict=True)] or [False] * len(header)
    style = [' class="n"' if right else "" for right in numeric]
    head = "".join(f"<th{css}>{text(name)}</th>" for name, css in zip(header, style, strict=True))
    lines = "".join(
        f"<tr{_class(css)}>"
        + "".join(f"<td{align}>{text(cell)}</td>" for cell, align in zip(row, style, strict=True))
        + "</tr>"
        for row, css in zip(body, styles or [""] * len(body), strict=True)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


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
    axes.tick_params(labelsize=9, colors=MUTED)
    axes.set_prop_cycle(color=PALETTE)
    return figure, axes


def draw_picture(axes: Any, picture: "np.ndarray") -> None:
    """Draw an image [channels, height, width] of bytes: grey, colours, or the first channel of any other number."""
    grey = picture.shape[0] != 3
    shown = picture[0] if grey else picture.transpose(1, 2, 0)
    axes.imshow(shown, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest")


def label(value: Any, limit: int = 28) -> str:
    """A value as text for a plot: on one line, its middle left out if it is long, dollar signs not read as mathematics."""
    shown = "".join(character if character.isprintable() else " " for character in str(value))
    tail = limit // 3  # names often differ at their end
    shown = shown if len(shown) <= limit else f"{shown[: limit - tail - 1]}…{shown[-tail:]}"
    return shown.replace("$", r"\$")


def _tile(label: str, value: Any, note: str = "") -> str:
    extra = f"<span>{text(note)}</span>" if note else ""
    return f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span>{extra}</div>'


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
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
    return f"<figure{_class('wide' if figure.get_figwidth() > _WIDE_INCHES else '')}>{drawing}</figure>"

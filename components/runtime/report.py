"""HTML reports: one self-contained file with plots, readable on a laptop, in the Kubeflow dashboard and on paper."""

import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, GOOD, BAD = "#1c2733", "#5f6f81", "#2563a8", "#1d7f4e", "#b3382c"
PALETTE = (ACCENT, "#d9822b", GOOD, "#8a4fa3", BAD, "#4b9aa8", "#a08136", "#c0628f")

_STYLE = f"""
:root {{ color-scheme: light }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; background: #f4f6f8; margin: 0 }}
main {{ max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px }}
h1 {{ font-size: 26px; margin: 0 }} h2 {{ font-size: 18px; margin: 0 0 10px }} h3 {{ font-size: 15px; margin: 14px 0 6px }}
.subtitle {{ color: {MUTED}; margin: 4px 0 20px }}
section {{ background: #fff; border: 1px solid #dfe5eb; border-radius: 8px; padding: 18px 20px; margin: 0 0 16px }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid #edf1f4; vertical-align: top }}
th {{ color: {MUTED}; font-weight: 600; font-size: 13px }} td.n, th.n {{ text-align: right }}
.scroll {{ overflow-x: auto }}
.figures {{ display: flex; flex-wrap: wrap; gap: 12px }} .figures svg {{ max-width: 100%; height: auto }}
.tiles {{ display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 16px }}
.tile {{ background: #fff; border: 1px solid #dfe5eb; border-radius: 8px; padding: 12px 16px; min-width: 120px }}
.tile b {{ display: block; font-size: 22px; font-weight: 600 }} .tile span {{ color: {MUTED}; font-size: 13px }}
.good {{ color: {GOOD} }} .bad {{ color: {BAD} }} .muted {{ color: {MUTED} }}
"""


class Page:
    """A report under construction; every text given to it is escaped unless the parameter is called `markup`."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []

    def tiles(self, tiles: Iterable[tuple[str, Any]]) -> None:
        """A row of key figures: (label, value)."""
        cells = "".join(f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span></div>' for label, value in tiles)
        self._parts.append(f'<div class="tiles">{cells}</div>')

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
    """A value as escaped text; floats to four significant digits."""
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def paragraph(value: str, *, style: str = "") -> str:
    """A paragraph; style is good, bad, muted or nothing."""
    return f'<p class="{style}">{text(value)}</p>'


def bullets(items: Iterable[str], *, style: str = "") -> str:
    return f'<ul class="{style}">' + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; columns that hold a number in the first row are set flush right."""
    body = [list(row) for row in rows]
    numeric = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in body[0]] if body else []
    style = [' class="n"' if right else "" for right in numeric] or [""] * len(header)
    head = "".join(f"<th{css}>{text(name)}</th>" for name, css in zip(header, style, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{css}>{text(cell)}</td>" for cell, css in zip(row, style, strict=True)) + "</tr>" for row in body
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


def _svg(figure: "Figure") -> str:
    import matplotlib

    buffer = io.StringIO()
    # A fixed salt and no date: the same data gives the same bytes. Text stays text: smaller, searchable.
    with matplotlib.rc_context({"svg.hashsalt": "stagewright", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().split("?>", 1)[-1].split('.dtd">', 1)[-1].strip()

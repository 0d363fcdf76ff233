"""How reports look: one stylesheet and one set of colours, light and dark, as the reader has set it."""

import re

INK, MUTED, ACCENT, GOOD, BAD = "#1c2733", "#5f6f81", "#2563a8", "#1d7f4e", "#b3382c"
PALETTE = (ACCENT, "#c8701a", GOOD, "#8a4fa3", BAD, "#3b8896", "#917226", "#c0628f")
GRID, NEUTRAL, PAPER = "#e3e8ed", "#b6c0ca", "#ffffff"
ON_PICTURE = "#fefefe"  # text on a dark picture: the same in both forms

# Name of each colour -> its light and its dark form. A plot is drawn in the light ones; matplotlib's black is ink.
COLORS = {
    "ink": (INK, "#e3e9ef"),
    "muted": (MUTED, "#9dabb9"),
    "accent": (ACCENT, "#6aa9f0"),
    "good": (GOOD, "#4fc28a"),
    "bad": (BAD, "#f0796c"),
    "orange": (PALETTE[1], "#f0a35a"),
    "violet": (PALETTE[3], "#c58fdd"),
    "teal": (PALETTE[5], "#6cc5d4"),
    "ochre": (PALETTE[6], "#d3b25e"),
    "pink": (PALETTE[7], "#ee93bb"),
    "grid": (GRID, "#323e4a"),
    "neutral": (NEUTRAL, "#5b6976"),
    "paper": (PAPER, "#1b232b"),
    "page": ("#f4f6f8", "#12181e"),
    "edge": ("#dfe5eb", "#323d48"),
    "line": ("#edf1f4", "#2a343e"),
    "code": ("#eef2f5", "#2a343e"),
    "note": ("#fdf6ec", "#33291a"),
}
_NAMES = {light: name for name, (light, _) in COLORS.items()} | {"#000000": "ink"}
_TAG, _COLOR = re.compile(r"<[^<>]*>"), re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


def _variables(form: int) -> str:
    return "; ".join(f"--{name}: {colors[form]}" for name, colors in COLORS.items())


STYLE = f"""
:root {{ color-scheme: light; {_variables(0)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {_variables(1)} }} }}
* {{ box-sizing: border-box }}
body {{ font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: var(--ink);
  background: var(--page); margin: 0; overflow-wrap: anywhere }}
main {{ max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 0 }} h2 {{ font-size: 18px; margin: 0 0 10px }}
h3 {{ font-size: 15px; margin: 14px 0 6px }} p {{ margin: 0 0 10px }} ul {{ margin: 0 0 10px; padding-left: 22px }}
code, pre {{ font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--code); border-radius: 4px;
  padding: 1px 4px }}
pre {{ padding: 10px 12px; margin: 0 0 10px; overflow-x: auto; overflow-wrap: normal }} pre code {{ padding: 0 }}
.subtitle {{ color: var(--muted); margin: 4px 0 20px }}
section, .tile, .banner {{ background: var(--paper); border: 1px solid var(--edge); border-radius: 8px }}
section {{ padding: 18px 20px; margin: 0 0 16px }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: 0 0 6px;
  overflow-wrap: break-word }}
th, td {{ text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top }}
tbody tr:last-child td {{ border-bottom: 0 }}
th {{ color: var(--muted); font-weight: 600; font-size: 13px; white-space: nowrap }}
td.n, th.n {{ text-align: right; white-space: nowrap }}
.scroll {{ overflow-x: auto; margin: 0 0 10px }}
.figures {{ display: flex; flex-wrap: wrap; gap: 16px 24px }}
.figures figure {{ flex: 1 1 340px; min-width: 0; max-width: 500px; margin: 0 }}
.figures figure.wide {{ flex-basis: 100%; max-width: 100% }}
.figures figure.wide {{ overflow-x: auto }} .figures figure.wide svg {{ min-width: 620px }}
.figures svg {{ display: block; width: 100%; height: auto; fill: var(--ink) }}
.figures svg text {{ font-family: inherit !important }}
.side_by_side {{ display: flex; flex-wrap: wrap; gap: 8px 28px }}
.side_by_side > div {{ flex: 1 1 340px; min-width: 0 }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0 0 16px }}
.tile {{ padding: 12px 16px; min-width: 0 }}
.tile b {{ display: block; font-size: 24px; line-height: 1.25; font-weight: 600 }}
.tile span {{ display: block; color: var(--muted); font-size: 13px }}
.banner {{ padding: 14px 20px; margin: 0 0 16px; border-left-width: 5px }} .banner p, .banner ul {{ margin: 4px 0 0 }}
.banner.good {{ border-left-color: var(--good) }}
.banner.bad {{ border-left-color: var(--bad) }} .banner.good, .banner.bad {{ color: var(--ink) }}
.banner > b {{ font-size: 17px }}
.good {{ color: var(--good) }} .bad {{ color: var(--bad) }} .muted {{ color: var(--muted) }}
blockquote {{ margin: 0 0 10px; padding: 8px 14px; border-left: 4px solid var(--orange); background: var(--note) }}
blockquote p {{ margin: 0 }}
details {{ margin: 10px 0 0 }}
summary {{ cursor: pointer; color: var(--accent) }}
a {{ color: var(--accent) }}
@media (max-width: 640px) {{
  main {{ padding: 16px 10px 40px }} section {{ padding: 14px 12px }} th, td {{ padding-right: 9px }} }}
@media print {{ body {{ background: #fff }} main {{ max-width: none; padding: 0 }} section, .tile {{ break-inside: avoid }} }}
"""


def themed(drawing: str) -> str:
    """An SVG whose colours follow the page: each colour of `COLORS` becomes its variable, in tags only, never in text.

    >>> themed('<path style="fill: #2563a8; stroke: #123456"/><text>fill: #2563a8</text>')
    '<path style="fill: var(--accent); stroke: #123456"/><text>fill: #2563a8</text>'
    """
    return _TAG.sub(lambda tag: _COLOR.sub(_named, tag[0]), drawing)


def _named(found: "re.Match[str]") -> str:
    name = _NAMES.get(found[2])
    return f"{found[1]}: var(--{name})" if name else found[0]

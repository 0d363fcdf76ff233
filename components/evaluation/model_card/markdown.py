"""Markdown from arbitrary values, and HTML pages from Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stagewright.components.runtime.report import text

# An underscore inside a word is not emphasis: names stay readable.
_SPECIAL = re.compile(r"([\\`*{}\[\]#|~$]|(?<![^\W_])_|_(?![^\W_]))")


def escape(value: Any) -> str:
    r"""A value as Markdown text on one line, with Markdown and HTML escaped.

    >>> escape("a|b <b> *c*")
    'a\\|b &lt;b&gt; \\*c\\*'
    """
    line = " ".join(str(value).split())
    return _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;")).replace("<", "&lt;").replace(">", "&gt;")


def number(value: Any) -> str:
    """A number as in the reports, a count with thousands separators, other values as escaped text.

    >>> number(0.5), number(7043), number(None), number("a|b")
    ('0.5000', '7,043', '—', 'a\\\\|b')
    """
    if value is None or isinstance(value, float):
        return text(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(value)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; its cells are escaped, and numeric columns are right-aligned."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    right = [
        any(isinstance(cell, int | float) for cell in column) and not any(isinstance(cell, str) and cell for cell in column)
        for column in zip(*body, strict=True)
    ]
    lines = [
        "| " + " | ".join(escape(name) for name in header) + " |",
        "|" + "|".join(" ---: " if flush else " --- " for flush in right) + "|",
        *("| " + " | ".join(number(cell) for cell in row) + " |" for row in body),
    ]
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """A list of Markdown items."""
    return "\n".join(f"- {item}" for item in items)


def for_owner(question: str) -> str:
    """A question for the owner, marked clearly as open."""
    return f"> **For the owner to fill in:** {question}"


def to_html(markdown: str) -> str:
    """Markdown as HTML; HTML inside it is shown as text."""
    from markdown_it import MarkdownIt

    rendered = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))
    return rendered.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")

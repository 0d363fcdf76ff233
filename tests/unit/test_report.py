import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stagewright.components.runtime import report, report_style


def test_values_are_escaped_and_shortened() -> None:
    assert report.text("<b> & 'c'") == "&lt;b&gt; &amp; &#x27;c&#x27;"
    assert [report.text(value) for value in (0.123456, 12345.678, 0.0, 7043, 1.5e12, -0.25, None, float("inf"))] == [
        "0.1235", "12,346", "0", "7043", "1.500e+12", "-0.2500", "—", "inf",
    ]  # fmt: skip


def test_page_holds_its_parts_in_order_and_escapes_them(tmp_path: Path) -> None:
    page = report.Page("<title>", "a & b")
    page.banner("It <failed>", report.bullets(["one < two"]), good=False)
    page.tiles([("rows", 3), ("AUC", 0.91234, "0.9 to 0.92")])
    page.section("First <section>", report.paragraph("x < y", style="muted"))
    page.write(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()

    assert "<title>&lt;title&gt;</title>" in html
    assert '<div class="banner bad"><b class="bad">It &lt;failed&gt;</b><ul class=""><li>one &lt; two</li>' in html
    assert '<div class="tile"><b>0.9123</b><span>AUC</span><span>0.9 to 0.92</span></div>' in html
    assert html.index("banner bad") < html.index('class="tiles"') < html.index("First &lt;section&gt;")
    assert "<script" not in html
    assert "http" not in html.split("</style>")[1]  # nothing is loaded from anywhere


def test_columns_of_numbers_are_flush_right() -> None:
    table = report.table(["name", "rows", "note"], [["a", None, 1], ["b", 2, "x"]], styles=["", "bad"])

    assert "<th>name</th>" in table
    assert '<th class="n">rows</th>' in table
    assert "<th>note</th>" in table
    assert '<tr class="bad"><td>b</td><td class="n">2</td><td>x</td></tr>' in table


def test_tables_may_be_empty_and_must_be_rectangular() -> None:
    assert "<tbody></tbody>" in report.table(["a", "b"], [])
    with pytest.raises(ValueError, match="zip"):
        report.table(["a"], [["x", "y"]])


def test_equal_figures_are_equal_bytes_and_well_formed() -> None:
    def draw() -> str:
        figure, axes = report.new_figure("Title & <more>")
        axes.plot([0, 1], [1, 2])
        axes.set_xlabel(report.label("<x> & y"))
        return report.figures(figure)

    assert draw() == draw()
    parsed = ElementTree.fromstring(draw())
    drawing = parsed.find("figure/{http://www.w3.org/2000/svg}svg")
    assert drawing is not None
    assert drawing.get("aria-label") == "Title & <more>"


def test_wide_figures_have_a_row_of_their_own() -> None:
    assert '<figure class="wide">' in report.figures(report.new_figure("a", width=9)[0])
    assert "<figure>" in report.figures(report.new_figure("a")[0])


@pytest.mark.parametrize(
    "name", ["$5 and $6", "$x_1$", r"$\frac$", r"\alpha", "a$", "100 %", "名前", "a\x00b\nc", "\U0001f600"]
)
def test_any_name_can_label_a_plot(name: str) -> None:
    figure, axes = report.new_figure(report.label(name))
    axes.set_xlabel(report.label(name))
    drawn = report.figures(figure)

    ElementTree.fromstring(drawn)
    if name.isprintable():
        assert name in drawn


def test_long_labels_keep_their_ends() -> None:
    names = [report.label(f"a rather long name of a class, number {number}") for number in range(20)]

    assert len(set(names)) == 20
    assert {len(name) for name in names} == {28}
    assert report.label("abcdefghijkl", 10) == "abcdef…jkl"
    assert report.label("x" * 28) == "x" * 28


@pytest.mark.parametrize(("rows", "shown", "told"), [(100, 100, []), (101, 100, ["The first 100 of 101 rows."])])
def test_a_long_table_shows_its_first_rows_and_how_many_there_are(rows: int, shown: int, told: list[str]) -> None:
    table = report.table(["name"], [[f"column {number}"] for number in range(rows)])

    assert table.count("<tr><td>") == shown
    assert "<td>column 99</td>" in table
    assert re.findall('<p class="muted">(.*?)</p>', table) == told


def test_a_long_table_says_where_the_whole_is_and_keeps_its_styles() -> None:
    table = report.table(["n"], [[1], [2], [3]], styles=["good", "bad", "muted"], most=2, whole="the schema file")

    assert '<tr class="good"><td class="n">1</td></tr><tr class="bad"><td class="n">2</td></tr></tbody>' in table
    assert table.endswith('<p class="muted">The first 2 of 3 rows; the schema file holds all.</p>')


@pytest.mark.parametrize(("items", "last"), [(30, "line 29"), (31, "The first 30 of 31 lines; the log holds all.")])
def test_a_long_list_shows_its_first_lines_and_how_many_there_are(items: int, last: str) -> None:
    shown = report.bullets([f"line {number}" for number in range(items)], whole="the log")

    assert re.findall("<li>(.*?)</li>", shown)[29:] == ["line 29"] + ([last] if items > 30 else [])


def test_a_long_value_is_cut_in_a_cell() -> None:
    assert f"<td>{'x' * 400}</td>" in report.table(["a"], [["x" * 400]])
    assert f"<td>{'x' * 400}…</td>" in report.table(["a"], [["x" * 401]])


def test_colours_of_plots_follow_the_page_and_text_is_left_alone() -> None:
    figure, axes = report.new_figure("fill: #2563a8")
    axes.scatter([0], [1], color=report.ACCENT)
    axes.plot([0, 1], [1, 2], "o", color=report.PALETTE[1], markerfacecolor=report.PAPER)
    axes.bar([0, 1], [1, 2], color=report.NEUTRAL)
    axes.text(0, 1, "white", color=report.ON_PICTURE)
    axes.grid(color=report.GRID)
    drawn = report.figures(figure)

    attributes = "".join(re.findall("<[^<>!]*>", drawn)).replace('aria-label="fill: #2563a8"', "")
    assert set(re.findall("(?:fill|stroke): (#[0-9a-f]{6})", attributes)) == {report.ON_PICTURE}
    named = set(re.findall(r"var\(--(\w+)\)", attributes))
    assert named == {"accent", "orange", "neutral", "grid", "ink", "muted", "paper"}
    assert ">fill: #2563a8</text>" in drawn


def test_every_colour_can_be_read_in_the_light_and_in_the_dark() -> None:
    for form in (0, 1):
        colours = {name: both[form] for name, both in report_style.COLORS.items()}
        text = {name: contrast(colours[name], colours["paper"]) for name in ("ink", "muted", "accent", "good", "bad")}
        lines = {name: contrast(colours[name], colours["paper"]) for name in ("orange", "violet", "teal", "ochre", "pink")}
        assert min(text.values()) >= 4.5, text  # WCAG 2.2, AA: text
        assert min(lines.values()) >= 3, lines  # graphics
        assert contrast(colours["ink"], colours["note"]) >= 4.5
        assert contrast(colours["muted"], colours["page"]) >= 4.5
        assert contrast(colours["ink"], colours["code"]) >= 4.5


def test_every_colour_of_the_stylesheet_has_a_dark_form() -> None:
    rules = report_style.STYLE.split("* {", 1)[1]

    assert re.findall("#[0-9a-f]{3,6}", rules) == ["#fff"]  # paper is white when it is printed
    assert set(re.findall(r"var\(--(\w+)\)", rules)) <= report_style.COLORS.keys()


def contrast(one: str, other: str) -> float:
    """Contrast of two colours after WCAG 2.2: 1 to 21."""
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_lines_differ_by_colour_or_dashes() -> None:
    assert len({tuple(report.line_style(number).values()) for number in range(24)}) == 24

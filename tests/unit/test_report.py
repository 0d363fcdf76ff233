from pathlib import Path
from xml.etree import ElementTree

import pytest

from stagewright.components.runtime import report


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

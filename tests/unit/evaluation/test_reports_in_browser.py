"""Reports as a browser shows them: no wider than a narrow page, and readable in the dark."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from support import browser
from unit.evaluation.outcomes import multiclass

from stagewright.components.evaluation.evaluate import evaluate
from stagewright.components.evaluation.model_card.card import write_card
from stagewright.components.evaluation.page import page
from stagewright.components.ingestion.validate import validate
from stagewright.components.runtime import report, tables
from stagewright.components.runtime.report_style import COLORS

pytestmark = pytest.mark.skipif(browser.chromium() is None, reason="needs Chromium: install it to see reports in a browser")

LONG = "a_name_without_any_blank_that_is_longer_than_a_narrow_page_is_wide_and_goes_on_and_on"
MEASURE = """
  const color = (selector, name) => { const found = document.querySelector(selector);
    return found && getComputedStyle(found)[name] };
  return {window: window.innerWidth, page: document.documentElement.scrollWidth, shown: document.documentElement.clientWidth,
    boxes: [...document.querySelectorAll('.scroll, figure.wide, pre')].filter(box => box.scrollWidth > box.clientWidth).length,
    background: color('body', 'backgroundColor'), section: color('section', 'backgroundColor'),
    text: color('section', 'color'), heading: color('th', 'color'),
    tick: color('svg .xtick text, svg [id^=xtick] text', 'fill')}
"""


def everything(_: pytest.FixtureRequest, __: Path) -> str:
    """What any report may hold, as wide as it comes."""
    made = report.Page(f"A report on {LONG}", f"about {LONG}")
    made.banner(f"Passed {LONG}", report.bullets([LONG]), report.table([LONG, "b"], [[LONG, 1.0]]), good=True)
    made.tiles([(LONG, 1_000_000, LONG), ("AUC", 0.5), ("a", LONG)])
    made.section(LONG, report.table([f"column {number}" for number in range(30)], [list(range(30))]), f"<pre>{LONG * 3}</pre>")
    narrow, axes = report.new_figure("Narrow")
    axes.plot([0, 1])
    wide, axes = report.new_figure("Wide", width=9.6)
    axes.plot([0, 1])
    made.section(
        "Plots", report.figures(narrow, wide), report.side_by_side(report.paragraph(LONG), report.table(["a"], [[LONG]]))
    )
    made.markup(f"<blockquote><p>{LONG}</p></blockquote><p><code>{LONG}</code></p>", report.details(LONG, LONG))
    return made.render()


def of_an_evaluation(request: pytest.FixtureRequest, _: Path) -> str:
    wine = request.getfixturevalue("wine_model")
    found = evaluate(wine.model, **wine.splits, name=LONG, compare_with_champion=False)
    many = multiclass(900, 41)
    named = replace(many, classes=tuple(f"class {number} {LONG}" for number in range(41)))
    return page(replace(found, outcomes=found.outcomes | {"test": named})).render()


def of_a_card(request: pytest.FixtureRequest, folder: Path) -> str:
    churn = request.getfixturevalue("churn_model")
    evaluate(churn.model, **churn.splits, name="churn", compare_with_champion=False).write(folder / "evaluation.json")
    write_card(
        folder / "card.md", folder / "card.html", model=churn.model, evaluation=folder / "evaluation.json", schema=churn.schema,
        name=LONG, deploy_to="", intended_use=LONG,
    )  # fmt: skip
    return (folder / "card.html").read_text()


def of_data(_: pytest.FixtureRequest, folder: Path) -> str:
    numbers = {f"{LONG}_{number}": [(row * (number + 3)) % 17 / 7 for row in range(60)] for number in range(110)}
    tables.write_table(pl.DataFrame(numbers | {"left": ["yes", "no", "no"] * 20}), folder / "data.parquet")
    validate(folder / "data.parquet", folder / "schema.json", folder / "data.html", target="left", leakage="warn")
    return (folder / "data.html").read_text()


@pytest.mark.parametrize("make", [everything, of_an_evaluation, of_a_card, of_data])
def test_a_report_fits_500_pixels_and_turns_dark(
    make: Callable[[pytest.FixtureRequest, Path], str], request: pytest.FixtureRequest, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    html = make(request, tmp_path)

    for scheme, form in ((browser.LIGHT, 0), (browser.DARK, 1)):
        found = browser.look(html, MEASURE, tmp_path, scheme=scheme)

        assert found["window"] == 500
        assert found["page"] <= found["shown"] <= 500
        assert found["boxes"] > 0  # what is wider scrolls inside its own box
        names = {"background": "page", "section": "paper", "text": "ink", "heading": "muted"}
        names |= {"tick": "muted"} if found["tick"] else {}
        assert {part: found[part] for part in names} == {part: rgb(COLORS[name][form]) for part, name in names.items()}
        assert bool(found["tick"]) is ("<svg" in html)


def rgb(color: str) -> str:
    return f"rgb({', '.join(str(int(color[start : start + 2], 16)) for start in (1, 3, 5))})"

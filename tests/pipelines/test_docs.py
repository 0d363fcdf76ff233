"""The generated pages are complete and in step with the code."""

import re
from pathlib import Path

import pytest
from support.small_pipeline import count_rows, small_one

from stagewright.components.runtime.errors import InputError
from stagewright.pipelines import catalog
from stagewright.pipelines.description import Step, describe
from stagewright.pipelines.tooling import docs, pages

ROOT = Path(__file__).parents[2]


def test_page_of_a_pipeline_holds_what_it_is() -> None:
    text = pages.page(describe(small_one))
    assert "stagewright run small-one --factor FACTOR\n" in text
    assert "| `factor` | `float` | **required** | Multiplied with the count. |" in text
    assert "| `rows` | `int` | `3` | How many rows. |" in text
    assert "| count-rows | [count_rows](../components/count_rows.md) | tabular | always made again | always |" in text
    assert "`deploy_to != 'none'` |" in text
    assert "    make_table --> count_rows\n" in text


def test_page_of_a_component_holds_what_it_is() -> None:
    text = pages.page(describe(count_rows), used_by=["small-one"])
    assert "- Image: `stagewright-tabular`" in text
    assert "- Used by: [small-one](../pipelines/small-one.md)" in text
    assert "| `table` | Dataset |  | What to count. |" in text
    assert "| `Output` | `int` | The count. |" in text


def test_graph_leaves_out_what_follows_from_the_rest() -> None:
    steps = [
        Step("a", "a", "base", True, ()),
        Step("b", "b", "base", True, ("a",)),
        Step("c", "c", "base", True, ("a", "b", "no-step")),
        Step("d", "d", "base", True, ("a", "c"), 'x == "y"'),
    ]
    assert pages.direct_edges(steps) == [("a", "b"), ("b", "c"), ("c", "d")]
    drawn = pages.graph(steps)
    assert drawn.count("-->") == 3
    assert "subgraph condition_0[\"x == 'y'\"]" in drawn


def test_written_pages_are_not_stale_and_old_ones_go(tmp_path: Path) -> None:
    assert docs.main(["--folder", str(tmp_path)]) == 0
    assert docs.main(["--check", "--folder", str(tmp_path)]) == 0
    (tmp_path / "components" / "gone_component.md").write_text("old")
    (tmp_path / "pipelines" / "train-model.md").write_text("changed by hand")
    assert docs.stale(tmp_path) == [Path("components/gone_component.md"), Path("pipelines/train-model.md")]
    docs.write(tmp_path)
    assert docs.stale(tmp_path) == []
    assert not (tmp_path / "components" / "gone_component.md").exists()


def test_check_names_the_stale_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs.write(tmp_path)
    (tmp_path / "pipelines" / "README.md").unlink()
    assert docs.main(["--check", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == (
        "error: documentation did not pass: pipelines/README.md is stale; run: python -m stagewright.pipelines.tooling.docs\n"
    )


def test_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"documentation cannot be written to .*/file: Not a directory"):
        docs.write(tmp_path / "file")


def test_every_link_between_pages_leads_somewhere() -> None:
    texts = docs.render()
    for path, text in texts.items():
        for link in re.findall(r"\]\(([^)]+\.md)\)", text):
            target = Path("/", path.parent, link).resolve().relative_to("/")
            assert target in texts, f"{path} links to {link}"


def test_there_is_a_page_for_everything_in_the_catalog() -> None:
    names = {path.stem for path in docs.render()}
    assert names == {*catalog.PIPELINES, *catalog.COMPONENTS, "README"}


def test_pages_in_the_repository_are_in_step() -> None:
    assert docs.stale(ROOT / "docs") == [], "run: python -m stagewright.pipelines.tooling.docs"

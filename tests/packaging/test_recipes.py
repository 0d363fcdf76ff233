"""The recipes of docs/contributing.md, applied as they stand there to a copy of the source tree."""

import json
from pathlib import Path

import polars as pl
import pytest
from support.recipes import ROOT, Tree, recipe

from stagewright.pipelines.local import services

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree.copy(tmp_path / "tree")


def test_a_framework_is_a_module_and_a_row(tree: Tree) -> None:
    blocks = recipe("add a framework")
    assert [block.path for block in blocks] == [
        "components/training/frameworks/centroids.py", "components/runtime/frameworks.py",
        "tests/unit/training/test_centroids.py",
    ]  # fmt: skip

    for block in blocks:
        tree.apply(block)

    tested = tree.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/training/test_centroids.py")
    assert "2 passed" in tested
    described = tree.run("stagewright", "describe", "train-model")
    assert "centroids, sklearn, xgboost" in " ".join(described.split())
    style(tree, [block.path for block in blocks])


def test_a_stage_has_a_component_a_catalog_entry_and_a_pipeline(
    tree: Tree, laptop: Path, wine: pl.DataFrame, tmp_path: Path
) -> None:
    blocks = recipe("add a stage with its pipeline")
    assert {block.path for block in blocks} == {
        "components/sampling/__init__.py", "components/sampling/sample.py", "components/sampling/component.py",
        "pipelines/development/sample_data.py", "pipelines/catalog.py", "pyproject.toml",
    }  # fmt: skip

    for block in blocks:
        tree.apply(block)

    listed = tree.run("stagewright", "list")
    assert "sample-data" in listed
    assert "sample_rows" in listed
    described = tree.run("stagewright", "describe", "sample-data")
    assert "Number of rows; all of them if the table has fewer." in " ".join(described.split())
    tree.run("stagewright", "compile", "sample-data", "--output", "compiled")
    assert "stagewright-base:" in (tree.folder / "compiled/sample-data.yaml").read_text()
    tree.run("python", "-m", "stagewright.pipelines.tooling.docs")
    assert (tree.folder / "docs/components/sample_rows.md").exists()
    assert (tree.folder / "docs/pipelines/sample-data.md").exists()
    assert "Contracts: 5 kept, 0 broken." in tree.run("lint-imports", "--no-cache")
    style(tree, [block.path for block in blocks if block.path.endswith(".py")])

    wine.write_parquet(tmp_path / "wine.parquet")
    printed = tree.run("stagewright", "run", "sample-data", "--data", str(tmp_path / "wine.parquet"), "--rows", "50", "--json")
    run = json.loads(printed.splitlines()[-1])
    assert run["status"] == "succeeded"
    assert [step["name"] for step in run["steps"]] == ["ingest-data", "sample-rows"]
    (written,) = (services.runs() / run["run_id"] / "steps").glob("*/sample-rows/executor_output.json")
    assert json.loads(written.read_text())["parameterValues"]["Output"] == 50


def test_every_stage_is_in_the_architecture() -> None:
    """A folder that the layers name stands in docs/architecture.md."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in (ROOT / "components").glob("*/__init__.py")]

    assert [name for name in folders if f"| `{name}/` |" not in page] == []


def style(tree: Tree, paths: list[str]) -> None:
    """The code blocks are formatted and pass the linter, as the rest of the code."""
    tree.run("ruff", "format", "--check", "--no-cache", *paths)
    tree.run("ruff", "check", "--no-cache", *paths)

"""The word list finds its phrases in texts, and only there."""

from pathlib import Path

import pytest

from stagewright.pipelines.tooling import wordlist
from stagewright.pipelines.tooling.wordlist import Entry, check, files, main, read_list

ENTRIES = [Entry("whoever", "the user"), Entry("without a word", "silently")]

MODULE = '''"""Module for whoever reads it."""

whoever = 1  # a name is code

# KServe ignores it without a
# word.


def call(name: str) -> str:
    """Call `whoever` by name.

    Then fail without
    a word.
    """
    return f"no {name}, whoever called" + "soever whoeverx"
'''


def found_in(path: Path) -> list[str]:
    return [f"{one.line}: {one.entry.phrase}" for one in check([path], ENTRIES)]


def test_docstrings_comments_and_strings_are_checked_but_not_code(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(MODULE)

    assert found_in(path) == ["1: whoever", "5: without a word", "12: without a word", "15: whoever"]


def test_markdown_is_checked_but_not_its_code(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Page\n\n`whoever`\n\n```\nwhoever\n```\n\nWhoever reads\n")

    assert found_in(path) == ["9: whoever"]


def test_text_without_a_phrase_of_the_list_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text("The server reports the environment.\n")

    assert main([str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_phrase_of_the_list_fails_with_its_place_and_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text("The server\nreports its surroundings.\n")

    assert main([str(path)]) == 1
    assert capsys.readouterr().out == f"{path}:2: 'surroundings'; write 'environment'\n"


def test_history_and_generated_pages_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docs/a.md", "docs/decisions/b.md", "docs/pipelines/c.md", "docs/components/d.md", "docs/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("surroundings\n")
    monkeypatch.chdir(tmp_path)

    assert list(files([Path("docs")])) == [Path("docs/a.md")]
    assert "CHANGELOG.md" not in wordlist.ROOTS


def test_list_has_a_suggestion_for_every_phrase(tmp_path: Path) -> None:
    assert len(read_list()) > 30
    path = tmp_path / "list.txt"
    path.write_text("# phrases\n\nwhoever -> the user\nwhom ->\n")

    with pytest.raises(ValueError, match=r"list\.txt:4: expected 'phrase -> suggestion'$"):
        read_list(path)

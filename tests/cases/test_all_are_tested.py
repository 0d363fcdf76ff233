"""No case is left out."""

from pathlib import Path

from support.cases import CASES, Cases


def test_every_case_has_a_test(cases: Cases) -> None:
    names = {path.parent.name for path in cases.path.glob("*/cmd.sh")}
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert names
    assert {name for name in names if f'"{name}"' not in text} == set()


def test_every_table_has_a_test(cases: Cases) -> None:
    names = {path.name for path in (cases.path / "tables").iterdir() if path.name[0].isdigit()}
    text = (Path(__file__).parent / "test_tables.py").read_text()

    assert CASES.is_dir()
    assert {name for name in names if f'"{name}"' not in text} == set()

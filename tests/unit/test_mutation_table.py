"""The table of `make mutants` names modules and tests that are there, and its parts work without Cosmic Ray."""

import sys
from pathlib import Path

import pytest
from mutation.imports import dependents, forget, module_name
from mutation.table import MODULES, Module

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_modules_and_their_tests_are_there(module: Module) -> None:
    assert (REPOSITORY / module.path).is_file()
    assert all((REPOSITORY / part).is_file() for part in module.tests if part.endswith(".py"))
    assert any(part.endswith(".py") for part in module.tests)


def test_names_are_told_apart() -> None:
    assert len({module.name for module in MODULES}) == len({module.path for module in MODULES}) == len(MODULES)


def test_who_imports_a_module_is_found_through_others() -> None:
    found = dependents(REPOSITORY, module_name("components/registry/versions.py"))

    assert {
        "stagewright.components.registry.versions",
        "stagewright.components.registry.catalog",  # imports it
        "stagewright.components.registry.component",  # imports the one that imports it, inside a function
    } <= found
    assert "stagewright.components.runtime.errors" not in found


def test_what_is_forgotten_is_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forgettable").mkdir()
    for name in ("__init__", "part"):
        (tmp_path / "forgettable" / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import forgettable.part as before  # type: ignore[import-not-found]

    forget({"forgettable.part", "never.imported"})

    assert "forgettable.part" not in sys.modules
    assert not hasattr(sys.modules["forgettable"], "part")
    import forgettable.part as after

    assert after is not before
    forget({"forgettable.part", "forgettable"})

"""Which modules of this repository import which, read from their source, and how some of them are forgotten."""

import ast
import sys
from functools import cache
from pathlib import Path

ROOTS = {
    "stagewright.components": "components",
    "stagewright.pipelines": "pipelines",
    "support": "tests/support",
    "unit": "tests/unit",
}


def module_name(path: str) -> str:
    """The module of a file of the repository."""
    parts = Path(path).with_suffix("").parts
    return ".".join(("stagewright", *parts)).removesuffix(".__init__")


def dependents(repository: Path, module: str) -> set[str]:
    """A module and all that import it, themselves or by another."""
    importing = _graph(repository)
    found, new = {module}, {module}
    while new:
        new = {name for name, imported in importing.items() if imported & new} - found
        found |= new
    return found


def forget(modules: set[str]) -> None:
    """Let modules be imported anew, as attributes of their packages, too."""
    for name in modules & sys.modules.keys():
        package, _, last = name.rpartition(".")
        del sys.modules[name]
        if package in sys.modules and hasattr(sys.modules[package], last):
            delattr(sys.modules[package], last)


@cache
def _graph(repository: Path) -> dict[str, set[str]]:
    found = {}
    for root, folder in ROOTS.items():
        for file in (repository / folder).rglob("*.py"):
            inside = file.relative_to(repository / folder).with_suffix("").parts
            name = ".".join((root, *inside)).removesuffix(".__init__")
            found[name] = _imported(ast.parse(file.read_text()))
    return found


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names

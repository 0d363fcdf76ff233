"""Recipes of docs/contributing.md: their code blocks, applied to a copy of the source tree."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contributing.md"
_PARTS = ("components", "pipelines", "src", "tests", "docs", "pyproject.toml", "README.md")
_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block that belongs to a file: its whole content, or a change of it (`diff`)."""

    language: str
    path: str
    text: str


def recipe(title: str) -> list[Block]:
    """The code blocks with a title in the section "Recipe: TITLE", in their order."""
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## Recipe: {title}\n")
    assert found, f"no recipe {title!r} in {PAGE}"
    return [Block(*match.groups()) for match in _BLOCK.finditer(rest.partition("\n## ")[0])]


@dataclass(frozen=True)
class Tree:
    """A copy of the source tree."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Tree":
        """Copy what the recipes touch and use; caches stay behind."""
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", "pictures")
        folder.mkdir(parents=True)
        for part in _PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
            else:
                shutil.copy(ROOT / part, folder / part)
        return cls(folder)

    def apply(self, block: Block) -> None:
        """Write a file that does not exist yet, or make a change whose context occurs exactly once."""
        path = self.folder / block.path
        if block.language != "diff":
            assert not path.exists(), f"{block.path} exists already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return
        lines = block.text.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{block.path} has {text.count(before)} times:\n{before}"
        path.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, *command: str, **environment: str) -> str:
        """Run a command of this Python's environment in the copy; returns its standard output. It must succeed."""
        given = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"} | environment
        program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
        done = subprocess.run(program, cwd=self.folder, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

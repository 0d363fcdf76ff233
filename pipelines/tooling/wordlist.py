"""Check that texts use plain English: no word or phrase of `wordlist.txt` in docstrings, comments, strings and Markdown.

Run as `python -m stagewright.pipelines.tooling.wordlist [PATH ...]`. Prints `FILE:LINE: 'phrase'; write 'suggestion'` for each
place and exits with code 1 if there is any. Code in backticks and fenced code blocks are not checked.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("wordlist.txt")
# Tests are left out: their data and expected output may contain any word.
ROOTS = ("components", "pipelines", "images", "benchmarks", "docs", "README.md", "Makefile")
# Decisions are history; the pages of pipelines and components are generated from docstrings.
LEFT_OUT = ("docs/decisions", "docs/pipelines", "docs/components")
SUFFIXES = (".py", ".md")

_CODE = re.compile(r"```.*?```|``.*?``|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A phrase to avoid and what to write instead."""

    phrase: str
    instead: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the phrase as whole words, in any case, also across a line break."""
        words = r"[\s#]+".join(map(re.escape, self.phrase.split()))
        return re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase of the list at a place."""

    path: Path
    line: int
    entry: Entry

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: '{self.entry.phrase}'; write '{self.entry.instead}'"


def read_list(path: Path = LIST) -> list[Entry]:
    """Read the list: `phrase -> suggestion` on each line; empty lines and lines that start with # are ignored.

    Raises:
        ValueError: For a line without phrase or suggestion.
    """
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        phrase, _, instead = (part.strip() for part in line.partition("->"))
        if not phrase or not instead:
            raise ValueError(f"{path}:{number}: expected 'phrase -> suggestion'")
        entries.append(Entry(phrase, instead))
    return entries


def check(paths: Iterable[Path], entries: Iterable[Entry]) -> list[Found]:
    """Find the list's phrases in files, in order of file and line."""
    patterns = [(entry, entry.pattern) for entry in entries]
    found = {
        Found(path, line + text.count("\n", 0, match.start()), entry)
        for path in paths
        for line, text in texts_in(path)
        for entry, pattern in patterns
        for match in pattern.finditer(text)
    }
    return sorted(found, key=lambda one: (str(one.path), one.line, one.entry.phrase))


def texts_in(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of a file with the number of their first line; code in them is blanked."""
    source = path.read_text(encoding="utf-8")
    texts = _python_texts(source) if path.suffix == ".py" else [(1, source)]
    for line, text in texts:
        yield line, _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)


def files(roots: Iterable[Path]) -> Iterator[Path]:
    """The files to check below folders, and files that are named themselves."""
    for root in roots:
        if root.is_file():
            yield root
            continue
        for path in sorted(root.rglob("*")):
            if path.suffix in SUFFIXES and not any(path.is_relative_to(folder) for folder in LEFT_OUT):
                yield path


def _python_texts(source: str) -> Iterator[tuple[int, str]]:
    yield from _comments(source)
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Comments; those on consecutive lines are one text."""
    lines: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] != first + len(lines):
            yield first, "\n".join(lines)
            lines = []
        first = first if lines else token.start[0]
        lines.append(token.string)
    if lines:
        yield first, "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print every place; returns 1 if there is any."""
    given = sys.argv[1:] if arguments is None else arguments
    found = check(files(map(Path, given or ROOTS)), read_list())
    sys.stdout.writelines(f"{one}\n" for one in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

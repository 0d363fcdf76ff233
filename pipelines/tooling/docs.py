"""Write the pages of every pipeline and component, or check that they are up to date.

Run as `python -m stagewright.pipelines.tooling.docs [--check]`.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from stagewright.components.runtime.errors import GateFailed, InputError, StagewrightError
from stagewright.pipelines import catalog, profiles
from stagewright.pipelines.description import describe
from stagewright.pipelines.tooling import pages

FOLDER = Path("docs")

_PIPELINES = (
    "Run a pipeline on a laptop with `stagewright run NAME`, or on Kubeflow Pipelines with `stagewright submit NAME` or with "
    "the spec that `stagewright compile NAME` writes."
)
_COMPONENTS = "A component is one step of a pipeline: a thin Kubeflow component around plain functions in its image."


def render() -> dict[Path, str]:
    """Every page by its path in the documentation's folder."""
    pipelines = {name: describe(name) for name in catalog.PIPELINES}
    components = {name: describe(name) for name in catalog.COMPONENTS}
    uses = pages.used_by(pipelines)
    found = {Path("pipelines", f"{name}.md"): pages.page(description) for name, description in pipelines.items()}
    found |= {
        Path("components", f"{name}.md"): pages.page(description, used_by=uses.get(name, []))
        for name, description in components.items()
    }
    found[Path("pipelines", "README.md")] = pages.index("Pipelines", _PIPELINES, pipelines.values(), more=_profiles())
    found[Path("components", "README.md")] = pages.index("Components", _COMPONENTS, components.values())
    return found


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every page, and remove the pages of what no longer exists.

    Raises:
        InputError: If the folder cannot be written.
    """
    texts = render()
    try:
        for path in _stale(folder, texts):
            (folder / path).unlink(missing_ok=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"documentation cannot be written to {folder}: {error.strerror or error}") from None
    return sorted(texts)


def stale(folder: Path = FOLDER) -> list[Path]:
    """Pages that are outdated, missing, or describe something that no longer exists."""
    return _stale(folder, render())


def _stale(folder: Path, texts: Mapping[Path, str]) -> list[Path]:
    there = {path.relative_to(folder) for kind in ("pipelines", "components") for path in (folder / kind).glob("*.md")}
    changed = {path for path, text in texts.items() if path not in there or (folder / path).read_text(encoding="utf-8") != text}
    return sorted(changed | (there - set(texts)))


def _profiles() -> str:
    rows = [(f"`{name}`", profiles.load(name).description) for name in profiles.names()]
    text = "Cluster settings, selected with `--profile` when a pipeline is compiled or submitted. Your own YAML file works too."
    return "\n\n".join(["## Profiles", text, pages.table(("profile", "for"), rows)])


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or check them; 1 if a page is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a page is stale")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the documentation's folder (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        if not given.check:
            sys.stdout.write(f"{len(write(given.folder))} pages in {given.folder}\n")
            return 0
        old = stale(given.folder)
        if old:
            raise GateFailed(
                "documentation", [f"{path} is stale" for path in old] + ["run: python -m stagewright.pipelines.tooling.docs"]
            )
    except StagewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The gitops target: a model's files in a folder, committed if the folder belongs to a git working tree.

The files are in `<folder>/<namespace>/<name>/`, in the layout of `gitops_tree`. A commit contains only these files, whatever
else is staged. Nothing is pushed: that is up to the owner of the repository.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.folders import file_mode
from stagewright.components.runtime.storage import replacing
from stagewright.components.serving.targets.gitops_tree import FILES

GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """The folder of the model's files; `commit` is empty if nothing was committed."""

    path: Path
    changed: bool
    commit: str = ""


def write_files(
    files: Mapping[str, str], folder: str, *, namespace: str, name: str, message: str, commit: bool | None = None
) -> WrittenFiles:
    """Write a model's files and commit them. Unchanged files cause no change.

    Args:
        files: Content by file name. Files of `gitops_tree` that are not listed are removed; other files are kept.
        folder: An existing folder; subfolders are created.
        message: Commit message.
        commit: Whether to commit; None: if the folder is under git.

    Raises:
        MissingSetting: If no folder is given.
        InputError: If the folder does not exist, or `commit` is True and it is not under git.
        ServiceUnavailable: If git fails, with its message.
    """
    if not folder:
        raise MissingSetting(["parameter 'gitops'"], "the gitops target needs the folder that receives the manifest")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"the gitops folder {folder} does not exist; make it or clone the repository first")
    under_git = commit is not False and _is_working_tree(root)
    if commit and not under_git:
        raise InputError(f"the gitops folder {folder} is no git working tree, so nothing can be committed; run git init there")
    path = root.absolute() / namespace / name
    with file_mode(0o022):  # a controller reads the folder as another user
        changed = [file for file, content in files.items() if _put(path / file, content)]
        changed += [file for file in FILES if file not in files and _remove(path / file)]
        done = _commit(path, FILES, message) if under_git else ""
    logs.event("manifest_written", path=str(path), changed=bool(changed), commit=done)
    return WrittenFiles(path, bool(changed), done)


def _put(path: Path, content: str) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return False
    with replacing(path) as file:
        file.write(content.encode())
    return True


def _remove(path: Path) -> bool:
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


def _commit(folder: Path, files: Iterable[str], message: str) -> str:
    """Commit the files that differ from the last commit; returns the commit's hash, or nothing."""
    tracked = set(_git(folder, "ls-files", "--", *files).split("\n"))
    mine = [file for file in files if file in tracked or (folder / file).exists()]
    if not _git(folder, "status", "--porcelain", "--ignored", "--", *mine):
        return ""
    _git(folder, "add", "--all", "--", *mine)
    # --only: changes staged by others stay staged and are not part of this commit.
    _git(folder, "commit", "--quiet", "--only", "--message", message, "--", *mine)
    return _git(folder, "rev-parse", "HEAD")


def _is_working_tree(folder: Path) -> bool:
    try:
        found = _run(folder, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        if any((parent / ".git").exists() for parent in (folder.absolute(), *folder.absolute().parents)):
            raise ServiceUnavailable(f"{folder} is a git working tree, but there is no git program here") from None
        return False
    return found.returncode == 0 and found.stdout.strip() == "true"


def _git(folder: Path, *arguments: str) -> str:
    done = _run(folder, *arguments)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:256]
        raise ServiceUnavailable(f"git {arguments[0]} in {folder} failed: {said or f'exit status {done.returncode}'}")
    return done.stdout.strip()


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A git hook that calls us sets its own repository in these variables; ours is the folder's.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**environment, "GIT_TERMINAL_PROMPT": "0"}, capture_output=True, text=True,
        timeout=GIT_SECONDS, check=False,
    )  # fmt: skip

"""The gitops target: the manifest as a file of a folder, committed when the folder belongs to a git working tree.

The file is `<folder>/<namespace>/<name>.yaml`. A commit holds that file alone, whatever else is staged there; nothing is
pushed, because where to and by whom is for the repository's owner to say.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.storage import replacing

GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Written:
    """Where the manifest is; `commit` is empty when nothing was committed."""

    path: Path
    changed: bool
    commit: str = ""


def write(manifest: str, folder: str, *, namespace: str, name: str, message: str) -> Written:
    """Write a manifest, and commit it if the folder is under git. An unchanged manifest changes nothing.

    Args:
        folder: An existing folder; those below it are made.
        message: Of the commit.

    Raises:
        InputError: If the folder does not exist.
        ServiceUnavailable: If git refuses, in its own words.
    """
    if not folder:
        raise MissingSetting(["parameter 'gitops'"], "the gitops target needs the folder that receives the manifest")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"the gitops folder {folder} does not exist; make it or clone the repository first")
    path = root.absolute() / namespace / f"{name}.yaml"
    changed = not path.is_file() or path.read_text(encoding="utf-8") != manifest
    if changed:
        with replacing(path) as file:
            file.write(manifest.encode())
    commit = _commit(path, message) if _is_working_tree(root) else ""
    logs.event("manifest_written", path=str(path), changed=changed, commit=commit)
    return Written(path, changed, commit)


def _commit(path: Path, message: str) -> str:
    """Commit one file if it differs from the last commit; the commit's hash, or nothing."""
    if not _git(path.parent, "status", "--porcelain", "--ignored", "--", path.name):
        return ""
    _git(path.parent, "add", "--", path.name)
    # --only: what others have staged stays staged and stays out of this commit.
    _git(path.parent, "commit", "--quiet", "--only", "--message", message, "--", path.name)
    return _git(path.parent, "rev-parse", "HEAD")


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
    # A git that called us (a hook) names its own repository in these; ours is the folder's.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**environment, "GIT_TERMINAL_PROMPT": "0"}, capture_output=True, text=True,
        timeout=GIT_SECONDS, check=False,
    )  # fmt: skip

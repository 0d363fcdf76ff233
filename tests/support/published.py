"""Published models on disk: what publish_model leaves, made from an exported model's folder."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path


def publish(exported: Path, repository: Path, name: str, version: str, *, extras: Mapping[str, bytes] | None = None) -> Path:
    """A version of a model below a repository; its manifest is written last."""
    folder = repository / name / version
    serving = folder / "serving"
    shutil.copytree(exported, serving)
    for extra, content in (extras or {}).items():
        (serving / extra).write_bytes(content)
    write_manifest(folder, name, version)
    return folder


def write_manifest(folder: Path, name: str, version: str) -> None:
    files = [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    partial = folder / "manifest.json.partial"
    partial.write_text(json.dumps({"name": name, "version": version, "files": files}))
    partial.rename(folder / "manifest.json")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

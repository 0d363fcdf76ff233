"""Folders that appear whole or not at all, and folders that only their owner may read."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def private_folder(path: Path) -> Path:
    """A folder that only its owner may enter, made if it is missing; its parents keep the rights that they have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


@contextmanager
def file_mode(umask: int) -> Iterator[None]:
    """Give the files that this process and its children make in the block the rights that a mask leaves: 0o077 is the owner's.

    The mask belongs to the whole process, not to a thread.
    """
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `path` when the block ends and is removed when the block raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)

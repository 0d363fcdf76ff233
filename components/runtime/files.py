"""Files: what they hold, and how one is replaced without anybody ever reading half of it."""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stagewright.components.runtime.errors import InputError

_KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}  # fmt: skip
_LONGEST_PREFIX = 100  # a name may have 255 bytes


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(path: str | Path, *, inside: str | Path | None = None, most: int | None = None) -> bytes:
    """A file's content. What is no file (a pipe, a device, a socket) is refused without waiting for it.

    Args:
        inside: The folder that the file must lie in, links followed.
        most: Bytes that it may have.

    Raises:
        InputError: If it is no file, too large, or leads out of the folder.
        OSError: If it cannot be read.
    """
    path = Path(path)
    if inside is not None and not path.resolve().is_relative_to(Path(inside).resolve()):
        raise InputError(f"{path} is a link that leads out of {inside}; a model is read from its own folder alone")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(
                f"{path} is no file but {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}; it is not read"
            )
        if most is not None and found.st_size > most:
            raise InputError(f"{path} has {found.st_size} bytes; at most {most} are read")
        return file.read()


def check_tree(folder: str | Path) -> None:
    """Refuse a folder that holds what is neither file nor folder, or a link that leads out of it.

    Raises:
        InputError: Naming the first.
    """
    root = Path(folder).resolve()
    for at, folders, files in os.walk(root):
        for path in sorted(Path(at) / name for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InputError(f"{path} is a link that leads out of {root}; a model is read from its own folder alone")
            if not path.is_file() and not path.is_dir():
                what = (
                    "a link to nothing" if not path.exists() else _KINDS.get(stat.S_IFMT(path.stat().st_mode), "something else")
                )
                raise InputError(f"{path} is no file but {what}; a model is made of files")


def place(source: Path, target: Path) -> None:
    """Put a file, or a folder with all that it holds, to another place as well: by hard links where the disk allows it."""
    source = source.resolve()
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path` that takes its place when the block succeeds, and vanishes when it does not."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name[:_LONGEST_PREFIX]}.{secrets.token_hex(6)}")
    try:
        with partial.open("xb") as file:  # with the rights that the process gives its files
            yield file
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise

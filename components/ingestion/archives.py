"""Archives (.zip, .tar, also compressed) of images or of one data file, unpacked within limits."""

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from stagewright.components.ingestion.compression import check_ratio, copy
from stagewright.components.runtime.errors import InputError

ARCHIVES = (".zip", ".tar", ".tgz")


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by its extension."""
    return name.lower().endswith((*ARCHIVES, ".tar.gz", ".tar.bz2", ".tar.xz"))


class Archive:
    """The files of an open archive."""

    def __init__(self, path: Path, name: str, opened: zipfile.ZipFile | tarfile.TarFile) -> None:
        self.path, self.name, self._opened = path, name, opened
        members = opened.infolist() if isinstance(opened, zipfile.ZipFile) else [one for one in opened if one.isfile()]
        self._members = {
            (one.filename if isinstance(one, zipfile.ZipInfo) else one.name).removeprefix("./"): one for one in members
        }

    @property
    def names(self) -> list[str]:
        """Names of the files, sorted; markers and hidden files are left out."""
        return sorted(
            name
            for name in self._members
            if not name.endswith("/") and not any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)
        )

    def extract(self, name: str, target: Path) -> None:
        """Write the content of one file to `target`.

        Raises:
            InputError: If it is not a file, or expands to more than a thousand times its size.
        """
        member = self._members[name]
        if isinstance(member, zipfile.ZipInfo):
            check_ratio(member.file_size, member.compress_size, f"{self.name}: {name}")
            content: BinaryIO | None = cast(BinaryIO, cast(zipfile.ZipFile, self._opened).open(member))
        else:
            check_ratio(member.size, self.path.stat().st_size, f"{self.name}: {name}")
            content = cast("BinaryIO | None", cast(tarfile.TarFile, self._opened).extractfile(member))
        if content is None:
            raise InputError(f"{self.name}: {name} is no file")
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as file:
            copy(content, file, self.path.stat().st_size, f"{self.name}: {name}")


@contextmanager
def opened(path: Path, name: str) -> Iterator[Archive]:
    """Open an archive.

    Raises:
        InputError: If it is not an archive, or is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as plain:
                yield Archive(path, name, plain)
        else:
            with tarfile.open(path) as tar:
                yield Archive(path, name, tar)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(str(path.parent))[0]
        raise InputError(f"{name} cannot be unpacked: {reason}") from None

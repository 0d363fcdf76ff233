"""Faults of a file system in one sentence: a disk that is full or read-only, a folder that this user may not use."""

import errno
import re
from collections.abc import Iterator

from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ADVICE = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space or ask for a larger quota",
    errno.EROFS: "choose a folder on a disk that can be written to",
    errno.EACCES: "change its rights or choose another place",
    errno.EPERM: "change its rights or choose another place",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
    errno.EEXIST: "it is a file; choose another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENOENT: "the folder does not exist and cannot be made; choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close some programs or raise the limit of open files",
    errno.ENFILE: "close some programs or raise the limit of open files",
    errno.EIO: "check the disk",
}
# How libraries that are not written in Python say the same: SQLite, Arrow, polars.
_WORDS = (
    (re.compile(r"no space left on device|os error 28\b|database or disk is full", re.IGNORECASE), errno.ENOSPC),
    (re.compile(r"disk quota exceeded|os error 122\b", re.IGNORECASE), errno.EDQUOT),
    (re.compile(r"read-only file system|os error 30\b|attempt to write a readonly database", re.IGNORECASE), errno.EROFS),
)
_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "disk quota exceeded",
    errno.EROFS: "the disk is read-only",
}


def explained(fault: BaseException) -> StagewrightError | None:
    """The one sentence for an error whose cause is the file system; None for any other.

    The causes of the error are looked at, too, and the words of libraries that have no error number.

    >>> str(explained(OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet")))
    '/data/x.parquet cannot be written: no space left on the disk; free some space and try again'
    """
    for error in _chain(fault):
        number = error.errno if isinstance(error, OSError) and error.errno in _ADVICE else _number_in(str(error))
        if number is None or isinstance(error, ConnectionError | TimeoutError):
            continue
        return _sentence(number, error)
    return None


def _sentence(number: int, error: BaseException) -> StagewrightError:
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    subject = str(path) if isinstance(path, str | bytes) or hasattr(path, "__fspath__") else "a file"
    reason = _REASONS.get(number) or (getattr(error, "strerror", None) or str(error)).lower()
    verb = "written" if number in {*_FULL, errno.EROFS} else "used"
    kind = ServiceUnavailable if number in {*_FULL, errno.EIO} else InputError
    return kind(f"{subject} cannot be {verb}: {reason}; {_ADVICE[number]}")


def _number_in(text: str) -> int | None:
    return next((number for pattern, number in _WORDS if pattern.search(text)), None)


def _chain(fault: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = fault
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__

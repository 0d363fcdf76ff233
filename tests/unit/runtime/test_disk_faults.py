"""Faults of the file system are one sentence; defects stay defects."""

import errno
import os
import sqlite3

import pytest

from stagewright.components.runtime.disk_faults import explained
from stagewright.components.runtime.errors import InputError, ServiceUnavailable


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (errno.ENOSPC, 1, "/d/x cannot be written: no space left on the disk; free some space and try again"),
        (errno.EDQUOT, 1, "/d/x cannot be written: disk quota exceeded; free some space or ask for a larger quota"),
        (errno.EROFS, 2, "/d/x cannot be written: the disk is read-only; choose a folder on a disk that can be written to"),
        (errno.EACCES, 2, "/d/x cannot be used: permission denied; change its rights or choose another place"),
        (errno.ENOTDIR, 2, "/d/x cannot be used: not a directory; a part of the path is a file; choose another place"),
        (errno.EEXIST, 2, "/d/x cannot be used: file exists; it is a file; choose another place"),
    ],
)
def test_fault_of_the_file_system_names_the_file_and_what_to_do(number: int, code: int, sentence: str) -> None:
    known = explained(OSError(number, os.strerror(number), "/d/x"))

    assert known is not None
    assert (str(known), known.exit_code) == (sentence, code)


@pytest.mark.parametrize(
    "fault",
    [sqlite3.OperationalError("database or disk is full"), RuntimeError("No space left on device (os error 28)")],
)
def test_library_without_error_numbers_is_understood(fault: Exception) -> None:
    known = explained(fault)

    assert isinstance(known, ServiceUnavailable)
    assert str(known) == "a file cannot be written: no space left on the disk; free some space and try again"


def test_cause_of_an_error_is_found() -> None:
    fault = RuntimeError("writing failed")
    fault.__cause__ = OSError(errno.EROFS, "Read-only file system", "/d/x")

    known = explained(fault)

    assert isinstance(known, InputError)
    assert str(known).startswith("/d/x cannot be written: the disk is read-only")


@pytest.mark.parametrize("fault", [ValueError("no space"), ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OSError("?")])
def test_anything_else_stays_what_it_is(fault: Exception) -> None:
    assert explained(fault) is None

"""Folders and files that only their owner reads."""

import os
import stat
from pathlib import Path

from stagewright.components.runtime.files import replacing
from stagewright.components.runtime.folders import file_mode, private_folder


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_folder_is_its_owners_and_its_parents_stay(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)

    made = private_folder(tmp_path / "home" / "runs")

    assert (rights(made), rights(tmp_path / "home")) == (0o700, 0o755)


def test_private_closes_a_folder_that_was_open(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o755)

    assert rights(private_folder(tmp_path / "runs")) == 0o700


def test_new_files_have_the_rights_of_the_block(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with file_mode(0o077), replacing(tmp_path / "closed") as file:
            file.write(b"x")
        with replacing(tmp_path / "open") as file:
            file.write(b"x")
    finally:
        os.umask(before)

    assert (rights(tmp_path / "closed"), rights(tmp_path / "open")) == (0o600, 0o644)


def test_replacing_takes_the_longest_name_that_a_file_may_have(tmp_path: Path) -> None:
    with replacing(tmp_path / ("n" * 255)) as file:
        file.write(b"x")

    assert [len(path.name) for path in tmp_path.iterdir()] == [255]

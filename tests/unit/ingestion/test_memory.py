"""Reading data that is larger than memory."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stagewright.components.runtime import tables

LIMIT = 240 << 20
CONTROLLERS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)
STEP = """
import os, sys
if sys.argv[1]:
    open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
from stagewright.components.ingestion.ingest import ingest
ingest(sys.argv[2], sys.argv[3], sys.argv[4])
print(open("/proc/self/status").read())
"""


@contextmanager
def memory_group(limit: int) -> Iterator[Path | None]:
    """A control group whose processes together may use `limit` bytes; None where none can be made."""
    for root, name in CONTROLLERS:
        group = root / f"stagewright-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(limit))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    yield None


@pytest.mark.slow
def test_a_file_ten_times_larger_than_the_memory_limit_is_read(tmp_path: Path) -> None:
    """A CSV file of 2.4 GiB is read by a process whose memory, the imported libraries included, is limited to 240 MiB.

    The limit is that of a memory control group: the kernel ends the process when it needs more. Where no control group can be
    made, the process runs without a limit and its own peak of resident memory, less the mapped library files, is compared.
    """
    texts = (
        'the line was dead, and nobody answered before noon; ""not good"" enough',
        "asked for a refund, was told to write by post",
    )
    block = "".join(
        f'{row},2024-{row % 12 + 1:02}-{row % 28 + 1:02},{row % 977}.{row % 100:02},"{texts[row % 2]} {texts[row % 2]}"\n'
        for row in range(50_000)
    ).encode()
    blocks = 10 * LIMIT // len(block) + 1
    with (tmp_path / "large.csv").open("wb") as file:
        file.write(b"id,day,amount,complaint\n")
        for _ in range(blocks):
            file.write(block)
    assert (tmp_path / "large.csv").stat().st_size >= 10 * LIMIT

    with memory_group(LIMIT) as group:
        arguments = [str(group or ""), *(str(tmp_path / name) for name in ("large.csv", "table", "quarantine"))]
        done = subprocess.run([sys.executable, "-c", STEP, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    figures = {name: int(size) << 10 for name, size in re.findall(r"^(VmHWM|RssFile):\s+(\d+) kB", done.stdout, re.MULTILINE)}
    assert figures["VmHWM"] - figures["RssFile"] < LIMIT
    assert tables.info(tmp_path / "table").rows == blocks * 50_000
    (tmp_path / "large.csv").unlink()

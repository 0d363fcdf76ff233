"""How many threads are worth starting: the container's quota, rounded up, within what the scheduler allows."""

from pathlib import Path

import pytest

from stagewright.components.runtime import cpus


@pytest.mark.parametrize(
    ("allowed", "limit"),
    [
        (10_000, 1),
        (100_000, 1),
        (100_001, 2),
        (199_999, 2),
        (200_000, 2),
        (240_000, 3),
        (300_000, 3),
        (300_001, 4),
        (990_000, 4),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_quota_is_rounded_up(tmp_path: Path, allowed: int, limit: int, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    if version == 2:
        (tmp_path / "cpu.max").write_text(f"{allowed} 100000\n")
    else:
        (tmp_path / "cpu.cfs_quota_us").write_text(f"{allowed}\n")
        (tmp_path / "cpu.cfs_period_us").write_text("100000\n")

    assert cpus.available(tmp_path / "cpu.max", tmp_path) == limit
    assert cpus.quota(tmp_path / "cpu.max", tmp_path) == allowed / 100_000


@pytest.mark.parametrize("content", ["max 100000", "-1 100000", "nonsense", ""])
def test_without_a_quota_the_scheduler_decides(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(3)))
    (tmp_path / "cpu.max").write_text(content)

    assert cpus.available(tmp_path / "cpu.max", tmp_path) == cpus.available(tmp_path / "none", tmp_path / "none") == 3
    assert cpus.quota(tmp_path / "cpu.max", tmp_path) is None

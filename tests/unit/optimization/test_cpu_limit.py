"""Limits of CPU that are real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.measurement.cpu_limit import (
    CONTAINER,
    CannotLimit,
    cpus_of,
    limited,
    quantity_of,
    quota,
    with_prefix,
)
from stagewright.components.runtime.errors import BadParameter, InputError

BURN = "import time; end = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass\nprint(time.process_time())"


def test_a_process_gets_half_a_cpu_where_quotas_can_be_set() -> None:
    try:
        with limited(0.5) as limit:
            command = with_prefix(limit, [sys.executable, "-c", BURN])
            used = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except InputError as error:
        pytest.skip(str(error))
    assert "quota" in limit.how
    assert used < 0.45


def test_without_quotas_whole_cpus_are_allotted(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with limited(1, root=tmp_path) as limit:
        command = with_prefix(limit, [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"])
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "1"
    assert limit.how == "CPU affinity"
    assert os.sched_getaffinity(0) == before
    assert list(tmp_path.iterdir()) == []  # what was tried is cleared away


def test_part_of_a_cpu_needs_a_quota(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only whole CPUs"), limited(0.5, root=tmp_path):
        pass


@pytest.mark.parametrize(
    ("cpus", "outcome"),
    [
        (0.5, "limit of the container"),
        (0.504, "limit of the container"),  # a quota is rounded
        (0.496, "limit of the container"),
        (0.506, "a limit of 0.506 CPUs cannot be measured in a container that has 0.5"),
        (1, "a limit of 1 CPUs cannot be measured in a container that has 0.5"),
        (0.494, "a limit of 0.494 CPUs cannot be measured here: cgroups cannot be written, and without them only whole CPUs"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_container_measures_the_limit_that_it_has_and_no_other(
    tmp_path: Path, version: int, cpus: float, outcome: str
) -> None:
    if version == 2:
        (tmp_path / "cpu.max").write_text("50000 100000\n")
    else:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000\n")
        (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")

    assert quota(tmp_path) == 0.5
    if outcome == CONTAINER:
        with limited(cpus, root=tmp_path) as limit:
            assert (limit.how, limit.prefix) == (CONTAINER, ())
        return
    with pytest.raises(CannotLimit) as refused, limited(cpus, root=tmp_path):
        pass
    assert str(refused.value).startswith(outcome)


def test_a_container_without_a_limit_allots_whole_cpus(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")

    assert quota(tmp_path) is None
    with limited(1, root=tmp_path) as limit:
        assert limit.how == "CPU affinity"


def test_more_cpus_than_there_are_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="cannot be measured on a machine"), limited(4096):
        pass


@given(st.integers(1, 6400))
def test_quantities_are_rounded_up_to_ten_millicores(centicores: int) -> None:
    assert cpus_of(quantity_of(centicores / 100)) == pytest.approx(centicores / 100)
    assert cpus_of(quantity_of(centicores / 100 - 0.003)) == pytest.approx(centicores / 100)


@pytest.mark.parametrize("quantity", ["", "0", "-1", "one", "1Gi", "0m"])
def test_quantities_that_are_no_cpus_are_refused(quantity: str) -> None:
    with pytest.raises(BadParameter, match="cpu_limits"):
        cpus_of(quantity)

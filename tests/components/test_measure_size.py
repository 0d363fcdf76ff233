"""measure_size as a pod runs it: cgroups that cannot be written, and a limit that is there already."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from kfp import dsl
from support.exported_models import write_wine_model

from stagewright.components.measurement.processor import cpu_name
from stagewright.components.optimization.cost.component import measure_size
from stagewright.components.optimization.cost.measured import Measured

ROOT = Path("/sys/fs/cgroup")
QUOTA = 30_000  # of 100,000 microseconds
# What a container sees: its own group in the place of all, and nothing of it can be written.
MOUNT = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"'
PROGRAM = """
import sys
from kfp import dsl
from stagewright.components.optimization.cost.component import measure_size
model = dsl.Model(name="model", uri=sys.argv[1])
print(measure_size.python_func(model=model, cpus=sys.argv[2], objective_ms=2000.0, seconds=0.15, rounds=1))
"""


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("models") / "wine", run_id="")


@pytest.fixture(scope="module")
def pod() -> Iterator[list[str]]:
    """What a command begins with to run in a group of 300 millicores, in a file system where it cannot make another."""
    over = ROOT if (ROOT / "cgroup.controllers").is_file() else ROOT / "cpu"
    group = over / f"stagewright-pod-{uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("control groups cannot be written here")
    try:
        if over == ROOT:
            (group / "cpu.max").write_text(f"{QUOTA} 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(QUOTA))
        command = ["unshare", "--mount", "sh", "-c", f'echo $$ > "$1/cgroup.procs" && {MOUNT} && shift 2 && exec "$@"', "sh"]
        inside = [*command, str(group), str(over)]
        if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
            pytest.skip("mounts cannot be made here")
        yield inside
    except OSError as error:
        pytest.skip(f"a control group cannot be limited here: {error}")
    finally:
        group.rmdir()


def in_pod(pod: list[str], model: Path, cpus: str) -> Measured:
    command = [*pod, sys.executable, "-c", PROGRAM, str(model), cpus]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return Measured.from_json(done.stdout.splitlines()[-1])


def test_a_pod_measures_the_limit_that_it_has(pod: list[str], wine: Path) -> None:
    found = in_pod(pod, wine, "300m")

    assert (found.cpus, found.skipped) == (0.3, "")
    assert found.curve is not None
    assert (found.curve.how, found.curve.processor) == ("limit of the container", cpu_name())
    assert found.curve.size.cpus == 0.3
    assert found.curve.size.capacity > 0
    assert all(sample.cpus <= 0.3 * 1.2 for sample in found.curve.samples)  # a slice of time more than the quota


@pytest.mark.parametrize(
    ("cpus", "said"),
    [
        ("500m", "a limit of 0.5 CPUs cannot be measured in a container that has 0.3"),
        ("200m", "a limit of 0.2 CPUs cannot be measured here: cgroups cannot be written, and without them only whole CPUs"),
    ],
)
def test_another_limit_is_skipped_with_a_reason(pod: list[str], wine: Path, cpus: str, said: str) -> None:
    found = in_pod(pod, wine, cpus)

    assert found.curve is None
    assert found.skipped.startswith(said)


def test_a_size_that_this_machine_does_not_have_is_skipped_with_a_reason(wine: Path) -> None:
    text = measure_size.python_func(model=dsl.Model(name="model", uri=str(wine)), cpus="512")

    found = json.loads(text)
    assert (found["cpus"], found["curve"]) == (512.0, None)
    assert found["skipped"].startswith("a limit of 512 CPUs cannot be measured on a machine with ")


def test_with_prometheus_nothing_is_measured(wine: Path) -> None:
    given = dsl.Model(name="model", uri=str(wine))

    assert Measured.from_json(measure_size.python_func(model=given, cpus="1", prometheus="http://prometheus:9090")) == Measured(
        1.0, skipped="Prometheus tells"
    )


@pytest.mark.parametrize("change", [{"cpus": "a lot"}, {"cpus": "1", "rounds": 0}, {"cpus": "1", "objective_ms": 0.0}])
def test_what_cannot_be_is_refused(wine: Path, change: dict[str, object]) -> None:
    with pytest.raises(SystemExit) as ended:
        measure_size.python_func(model=dsl.Model(name="model", uri=str(wine)), **change)

    assert ended.value.code == 2

"""What is recommended: never more than what already bears the load. Sizes are given as if a step had measured each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stagewright.components.measurement.capacity import Curve, Sample
from stagewright.components.measurement.replica import MIB, Size
from stagewright.components.optimization.cost.measured import Measured, curves
from stagewright.components.optimization.cost.optimize import optimize_cost, plan
from stagewright.components.optimization.cost.page import page
from stagewright.components.optimization.cost.result import Cost, Objective
from stagewright.components.optimization.cost.service_patch import patch
from stagewright.components.optimization.cost.sizing import Plan, sufficient, within
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.inference_service import Replicas, Resources, inference_service

PRICES = {"cpu_hour": 1.0, "gib_hour": 0.001}
KEPT = "the present service bears the load, and nothing smaller was found that does: its CPU and replicas stay"


def measured(cpus: float, capacity: float, *, memory: int = 100 * MIB, processor: str = "a CPU") -> Measured:
    size = Size(cpus, capacity, 10.0 if capacity else float("nan"), 0.9, memory)
    samples = (Sample(capacity or 1.0, capacity, float("nan"), 10.0, 0.9 * cpus, bool(capacity)),)
    return Measured(cpus, Curve(size, "limit of the container", samples, 1.1 * capacity, 1.5, processor=processor))


def present(cpu: str, limit: str = "1", *, least: int = 1, most: int = 1, memory: str = "256Mi") -> str:
    return to_yaml(
        inference_service(
            name="churn", version="v1.0.0", model_uri="s3://models/churn/v1.0.0/",
            resources=Resources(cpu, limit, memory, "512Mi"), replicas=Replicas(least, most),
        )
    )  # fmt: skip


def decided(trace: str, *sizes: Measured, current: str = "", prices: dict[str, Any] | None = None, **objective: Any) -> Cost:
    limits = tuple(f"{round(1000 * one.cpus)}m" for one in sizes)
    asked = Objective(**{"cpu_limits": limits} | objective)
    given = [Measured.from_json(one.to_json()) for one in sizes]
    return optimize_cost(
        "nowhere", name="churn", trace=trace, objective=asked, price_table=prices or PRICES, current=current, measured=given
    )


def asked_for(found: Cost) -> tuple[str, str | None, int, int]:
    assert found.recommendation is not None
    change = found.recommendation
    return change.cpu, change.limit, change.least, change.most


@pytest.mark.parametrize("trace", ["77", "90", "100"])  # with the headroom of 30% to spare, with less of it, and with nothing
def test_a_present_size_that_bears_the_load_stays(trace: str) -> None:
    found = decided(trace, measured(0.25, 100), measured(0.5, 210), measured(1, 400), current=present("250m"))

    assert asked_for(found)[0] == "250m"
    assert asked_for(found)[2:] == (1, 1)
    assert found.savings is not None
    assert found.savings >= 0


def test_what_stays_keeps_its_limits_and_the_report_says_that_there_is_less_room() -> None:
    found = decided("90", measured(0.25, 100), measured(0.5, 210), current=present("250m"))

    assert found.kept
    assert asked_for(found) == ("250m", "1", 1, 1)
    assert found.notices() == [KEPT]
    resources = found.patched["spec"]["predictor"]["model"]["resources"]  # type: ignore[index]
    assert resources == {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "160Mi"}}
    shown = page(found).render()
    assert "The present service stays: 1 replica of 250m CPU" in shown
    assert "with less room than the 30% that is asked for" in shown
    roomy = decided("1", measured(0.25, 100), measured(0.5, 210), current=present("250m", memory="64Mi"))
    assert roomy.kept
    assert "with less room" not in page(roomy).render()


def test_a_service_without_a_limit_gets_none() -> None:

    document = yaml.safe_load(present("250m"))
    del document["spec"]["predictor"]["model"]["resources"]["limits"]

    found = decided("90", measured(0.25, 100), measured(0.5, 210), current=yaml.safe_dump(document))

    assert asked_for(found) == ("250m", None, 1, 1)
    assert found.recommendation is not None
    change = patch("churn", "default", found.recommendation)
    assert change["spec"]["predictor"]["model"]["resources"]["limits"]["cpu"] is None  # of a merge patch: none
    assert "cpu" not in found.patched["spec"]["predictor"]["model"]["resources"]["limits"]  # type: ignore[index]


def test_one_request_more_than_the_present_size_bears_needs_more() -> None:
    found = decided("100.5", measured(0.25, 100), measured(0.5, 210), current=present("250m"))

    assert not found.kept
    assert found.now is not None
    assert found.now.short_hours == 24
    assert asked_for(found) == ("500m", "500m", 1, 1)
    assert found.notices() == []


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        (77.0, ("100m", "100m", 1, 1)),  # 59.2 with 30% on top are 76.96
        (76.9, ("100m", "100m", 2, 2)),
        (38.4, ("250m", "1", 1, 1)),  # three of them would take more CPU than there is
    ],
)
def test_smaller_replicas_take_its_place_where_they_have_the_headroom(capacity: float, expected: tuple[Any, ...]) -> None:
    found = decided("59.2", measured(0.1, capacity), measured(0.25, 60), current=present("250m", memory="128Mi"))

    assert asked_for(found) == expected
    assert found.kept is (expected[0] == "250m")


def test_more_replicas_than_bear_the_load_are_not_recommended() -> None:
    found = decided("190", measured(1, 100), current=present("1", least=2, most=5))

    assert found.kept  # with the headroom there would be three
    assert asked_for(found) == ("1", "1", 2, 2)


def test_replicas_that_the_load_does_not_need_are_taken_away() -> None:
    found = decided("10", measured(1, 100), current=present("1", least=4, most=5))

    assert not found.kept
    assert asked_for(found)[2:] == (1, 1)
    assert found.savings == pytest.approx(0.75, abs=0.01)


def test_a_larger_size_is_not_chosen_for_memory_that_it_was_not_seen_to_hold() -> None:
    memory_only = {"cpu_hour": 0.0, "gib_hour": 1.0}

    found = decided("10", measured(0.5, 100, memory=120 * MIB), measured(1, 200, memory=100 * MIB), prices=memory_only)

    assert asked_for(found)[0] == "500m"


def test_plans_that_take_more_than_another_are_left_out() -> None:
    def made(cpus: float, *replicas: int, cost: float = 1.0) -> Plan:
        return Plan(Size(cpus, 100, 1.0, 0.5, MIB), replicas, cost, cost, cost, 0)

    few, many, large = made(1, 1, 2), made(0.5, 2, 3), made(2, 1, 2)
    assert sufficient([few, many, large]) == [few, many]
    assert sufficient([made(2, 1, 1), few]) == [made(2, 1, 1), few]  # fewer in the second hour
    now = made(1, 2, 2, cost=2.0)
    assert within([few], now) == [few]
    assert within([made(1, 1, 2, cost=2.0)], now) == []  # no cheaper
    assert within([made(0.5, 4, 4, cost=1.9)], now) == [made(0.5, 4, 4, cost=1.9)]
    assert within([made(0.5, 1, 5, cost=1.9)], now) == []  # more CPU at the peak
    assert within([made(2, 1, 2, cost=1.9)], now) == []


def test_without_a_service_the_default_one_is_the_present_one() -> None:
    found = decided("50", measured(0.25, 100), measured(0.5, 210), cpu_limits=("500m",))

    assert asked_for(found)[0] == "250m"


def test_a_measurement_is_handed_on_as_it_was() -> None:
    for one in (measured(0.25, 123.456), measured(2, 0), Measured(4, skipped="this machine has 2")):
        read = Measured.from_json(one.to_json())
        assert repr(read) == repr(one)  # not a number is unequal to itself
        assert "NaN" not in one.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cpus": 1, "curve": {}, "skipped": ""}', '{"cpus": 1, "skipped": ""}'])
def test_what_is_no_measurement_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^what a step measured cannot be read: "):
        Measured.from_json(text)


def test_sizes_that_could_not_be_measured_are_named() -> None:
    away = Measured(4, skipped="a limit of 4 CPUs cannot be measured on a machine with 2")

    found = decided("10", away, measured(1, 100), measured(0.25, 0))

    assert [curve.size.cpus for curve in found.curves] == [0.25, 1]
    assert found.notices() == ["4 CPU was not measured: a limit of 4 CPUs cannot be measured on a machine with 2"]
    with pytest.raises(InputError, match=r"^no size could be measured: a limit of 4 CPUs cannot .* with 2$"):
        curves([away])
    with pytest.raises(
        BadParameter, match=r"^parameter 'cpu_limits' is \['4'\]; expected at least one size that can be measured"
    ):
        decided("10", away, measured(0.25, 10), cpu_limits=("4",))


def test_different_processors_are_named() -> None:
    alike = decided("10", measured(0.5, 50), measured(1, 100))
    found = decided("10", measured(0.5, 50), measured(1, 100, processor="another"), measured(2, 200))

    assert alike.notices() == []
    [notice] = found.notices()
    assert notice == (
        "sizes were measured on different CPUs, so that their loads are not those of one machine: "
        "500m, 2 on a CPU; 1 on another"
    )
    assert "<td>another</td>" in page(found).render()


def test_the_sizes_to_measure_are_those_asked_for_and_the_present_one(tmp_path: Path) -> None:
    objective = Objective(cpu_limits=("2", "500m", "1000m"))

    assert plan(name="churn", trace="5", objective=objective) == ["250m", "500m", "1", "2"]
    assert plan(name="churn", trace="5", objective=objective, current=present("333m")) == ["340m", "500m", "1", "2"]
    assert plan(name="churn", objective=objective, current=present("1"), prometheus="http://127.0.0.1:9") == ["1"]
    with pytest.raises(BadParameter, match="parameter 'trace'"):
        plan(name="churn", objective=objective)
    with pytest.raises(BadParameter, match="parameter 'prices'"):
        plan(name="churn", trace="5", price_table={"cheap": True})

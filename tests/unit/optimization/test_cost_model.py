"""The arithmetic of cost: replicas, prices, pauses, targets."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.measurement.capacity import Sample, largest
from stagewright.components.measurement.replica import MIB, Size
from stagewright.components.optimization.cost import prices, sizing
from stagewright.components.optimization.cost.load_trace import Hour, Trace
from stagewright.components.optimization.cost.prices import Prices
from stagewright.components.optimization.cost.sizing import cheapest, hourly_price, plan, replicas_for, scale_to_zero
from stagewright.components.runtime.errors import BadParameter

PRICES = Prices(0.04, 0.005, "EUR", "a test")
START = datetime(2026, 5, 1, tzinfo=UTC)
rates = st.floats(0, 1e5, allow_nan=False)
capacities = st.floats(0.5, 1e5)
headrooms = st.floats(0, 3)


def trace(*peaks: float) -> Trace:
    return Trace(tuple(Hour(START + timedelta(hours=at), peak / 2, peak) for at, peak in enumerate(peaks)), "a test")


def size(capacity: float = 100.0, *, cpus: float = 1.0, memory: int = 100 * MIB, share: float = 0.9) -> Size:
    return Size(cpus, capacity, 10.0, share, memory)


@pytest.mark.parametrize(
    ("rate", "capacity", "headroom", "expected"),
    [(0, 100, 0.3, 1), (77, 100, 0.3, 2), (76, 100, 0.3, 1), (100, 100, 0, 1), (100.1, 100, 0, 2), (1000, 100, 1, 20)],
)
def test_replicas_bear_the_load_and_its_headroom(rate: float, capacity: float, headroom: float, expected: int) -> None:
    assert replicas_for(rate, capacity, headroom) == expected


@given(rates, rates, capacities, headrooms)
def test_more_load_never_needs_fewer_replicas(one: float, other: float, capacity: float, headroom: float) -> None:
    low, high = sorted([one, other])
    assert replicas_for(low, capacity, headroom) <= replicas_for(high, capacity, headroom)


@given(rates, capacities, headrooms)
def test_replicas_are_enough_and_one_fewer_is_not(rate: float, capacity: float, headroom: float) -> None:
    count = replicas_for(rate, capacity, headroom)
    assert count * capacity >= rate * (1 + headroom) * (1 - 1e-6)
    assert count == 1 or (count - 1) * capacity < rate * (1 + headroom)


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.1, 1e3)), min_size=1, max_size=12),
    st.floats(0.1, 1e3),
    st.floats(0.1, 1e3),
    st.lists(st.floats(0, 1e5), min_size=1, max_size=48).filter(any),
)
def test_a_larger_objective_never_costs_more(
    measured: list[tuple[float, float]], one: float, other: float, peaks: list[float]
) -> None:
    def cost(objective_ms: float) -> float:
        found = largest([Sample(rate, rate, 1.0, p99, 1.0, p99 <= objective_ms) for rate, p99 in measured])
        return plan(size(found.answered), trace(*peaks), PRICES, headroom=0.3).cost if found else float("inf")

    tight, loose = sorted([one, other])
    assert cost(loose) <= cost(tight)


def test_a_plan_pays_for_what_is_requested() -> None:
    found = plan(size(100, cpus=0.5, memory=100 * MIB), trace(50, 150, 0), PRICES, headroom=0.0)
    assert found.replicas == (1, 2, 1)
    assert found.size.memory_request == 128 * MIB  # a quarter more than was held, in steps of 16 Mi
    assert found.size.memory_limit == 160 * MIB
    hour = 0.5 * 0.04 + 0.125 * 0.005
    assert found.cost == pytest.approx(4 * hour)
    assert found.cost_per_million == pytest.approx(4 * hour / (100 * 3600) * 1e6)
    assert found.cost_a_month == pytest.approx(4 * hour / 3 * 730)
    assert found.short_hours == 0


def test_a_plan_with_a_ceiling_tells_the_hours_that_are_too_small() -> None:
    found = plan(size(100), trace(50, 150, 350), PRICES, headroom=0.0, most=2)
    assert found.replicas == (1, 2, 2)
    assert found.short_hours == 1


def test_the_cheapest_of_equals_is_the_smaller() -> None:
    load = trace(10)
    small, large = (plan(size(100, cpus=cpus), load, Prices(0.0, 1.0, "EUR", ""), headroom=0) for cpus in (1.0, 2.0))
    assert cheapest([large, small]) is small


def test_scaling_to_zero_pays_only_for_long_pauses() -> None:
    found = scale_to_zero(size(), trace(10, 0, 0, 10, 0), PRICES, cold_start_seconds=10)
    assert found.break_even_seconds == 100  # Knative keeps the last replica for 90 s, and a start takes 10
    assert found.pauses == 2
    hour = hourly_price(size(), PRICES)
    assert found.saved == pytest.approx(hour * (7200 - 100 + 3600 - 100) / 3600)
    assert found.saved_a_wait == pytest.approx(found.saved / 2)
    assert found.pays
    busy = scale_to_zero(size(), trace(10, 10), PRICES, cold_start_seconds=10)
    assert (busy.saved, busy.saved_a_wait, busy.pays) == (0, None, False)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_slower_start_never_saves_more(one: float, other: float) -> None:
    fast, slow = sorted([one, other])
    load = trace(10, 0, 10)
    saved = [scale_to_zero(size(), load, PRICES, cold_start_seconds=seconds).saved for seconds in (fast, slow)]
    assert saved[0] >= saved[1] >= 0


def test_autoscaling_targets_keep_the_headroom() -> None:
    assert sizing.cpu_target(size(share=0.91), 0.3) == 70
    assert sizing.cpu_target(size(share=0.01), 0.3) == 10
    assert sizing.rate_target(size(130), 0.3) == 100
    assert sizing.rate_target(size(0.5), 0.3) == 1


def test_prices_of_cpu_and_memory_are_taken_as_they_are() -> None:
    found = prices.read({"cpu_hour": 0.03, "gib_hour": 0.004, "currency": "EUR"})
    assert (found.cpu_hour, found.gib_hour, found.currency) == (0.03, 0.004, "EUR")
    assert found.replica_hour(2, 4) == pytest.approx(0.076)


@given(st.floats(0.5, 128), st.floats(0.5, 1024), st.floats(0.001, 100))
def test_a_whole_machine_costs_its_price(cpus: float, gib: float, hour: float) -> None:
    found = prices.read({"cpus": cpus, "gib": gib, "hour": hour})
    assert found.replica_hour(cpus, gib) == pytest.approx(hour)


def test_example_machines_have_names() -> None:
    assert prices.read({}) == prices.read({"instance": prices.DEFAULT})
    assert "example" in prices.read({}).source
    for name, (cpus, gib, hour) in prices.EXAMPLES.items():
        assert prices.read({"instance": name}).replica_hour(cpus, gib) == pytest.approx(hour)


@pytest.mark.parametrize(
    "given_prices",
    [
        {"instance": "aws m5.larg"}, {"cpu_hour": 1}, {"cpu_hour": -1, "gib_hour": 1}, {"cpu_hour": "a", "gib_hour": 1},
        {"cpu_hour": 0, "gib_hour": 0}, {"cpus": 0, "gib": 1, "hour": 1}, {"hourly": 3},
    ],
)  # fmt: skip
def test_prices_that_cannot_be_are_refused(given_prices: dict) -> None:
    with pytest.raises(BadParameter, match="prices"):
        prices.read(given_prices)

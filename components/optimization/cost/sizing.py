"""From what one replica can bear to what a service costs. Arithmetic only: nothing is measured or asked here."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from stagewright.components.measurement.replica import GIB, Size
from stagewright.components.optimization.cost.load_trace import Trace
from stagewright.components.optimization.cost.prices import HOURS_A_MONTH, Prices

MILLION = 1e6
UTILISATION = (10, 90)  # percent: what an autoscaler can sensibly be asked to keep
# Knative keeps the last replica for its stable window and a grace after that before it scales to zero.
STABLE_WINDOW_SECONDS, GRACE_SECONDS = 60.0, 30.0


def hourly_price(size: Size, prices: Prices) -> float:
    """Price of one replica for an hour."""
    return prices.replica_hour(size.cpus, size.memory_request / GIB)


@dataclass(frozen=True, slots=True)
class Plan:
    """Replicas of one size over a trace.

    Attributes:
        replicas: In each hour.
        cost: Over the whole trace.
        short_hours: Hours whose peak is more than the replicas bear within the objective.
    """

    size: Size
    replicas: tuple[int, ...]
    cost: float
    cost_per_million: float
    cost_a_month: float
    short_hours: int

    @property
    def cpu_hours(self) -> float:
        return self.size.cpus * sum(self.replicas)

    @property
    def most_cpus(self) -> float:
        """Requested in the hour with the most replicas."""
        return self.size.cpus * max(self.replicas)


@dataclass(frozen=True, slots=True)
class ScaleToZero:
    """Whether it pays to have no replica while nothing is asked.

    Attributes:
        cold_start_seconds: What the first request after a pause waits for.
        break_even_seconds: A pause must be longer for anything to be saved: the last replica is kept for a while, and the next
            one computes nothing while it starts.
        saved_an_hour: What an hour without a replica saves.
        pauses: How many pauses the trace has.
        saved: Over the whole trace, in these pauses.
        saved_a_wait: What is saved for each request that has to wait; None without a pause.
    """

    cold_start_seconds: float
    break_even_seconds: float
    saved_an_hour: float
    pauses: int
    saved: float
    saved_a_wait: float | None

    @property
    def pays(self) -> bool:
        return self.saved > 0


def replicas_for(rate: float, capacity: float, headroom: float, *, least: int = 1) -> int:
    """Replicas that bear a load with some room to spare.

    Args:
        rate: Requests a second.
        capacity: Of one replica, within the objective.
        headroom: Share of the load that must fit on top of it: 0.3 keeps room for 30% more.
    """
    return max(least, ceil(rate * (1 + headroom) / capacity - 1e-9))


def plan(size: Size, trace: Trace, prices: Prices, *, headroom: float, least: int = 1, most: int | None = None) -> Plan:
    """Replicas hour by hour: enough for the peak of the hour, because an autoscaler follows a peak too late.

    Args:
        least: Replicas at all times.
        most: Replicas at most; None for as many as it takes.
    """
    needed = [replicas_for(hour.peak, size.capacity, headroom, least=least) for hour in trace.hours]
    replicas = tuple(min(count, most) if most is not None else count for count in needed)
    cost = sum(replicas) * hourly_price(size, prices)
    short = sum(hour.peak > count * size.capacity for hour, count in zip(trace.hours, replicas, strict=True))
    return Plan(size, replicas, cost, cost / trace.requests * MILLION, cost / len(trace.hours) * HOURS_A_MONTH, short)


def cheapest(plans: Sequence[Plan]) -> Plan:
    """The cheapest plan; of equals the one with the smaller replicas, which are easier to place."""
    return min(plans, key=lambda one: (round(one.cost, 9), one.size.cpus))


def sufficient(plans: Sequence[Plan]) -> list[Plan]:
    """Plans without those that take more than another one: larger replicas, and in no hour fewer of them.

    What such a plan may save is memory that the smaller size was seen to hold and the larger one was not: chance.
    """

    def takes_more(one: Plan, other: Plan) -> bool:
        larger = one.size.cpus > other.size.cpus
        return larger and all(count >= enough for count, enough in zip(one.replicas, other.replicas, strict=True))

    return [one for one in plans if not any(takes_more(one, other) for other in plans)]


def within(plans: Sequence[Plan], present: Plan) -> list[Plan]:
    """Plans that cost less than the present service and take no more CPU, at the peak and over all hours."""
    return [
        one
        for one in plans
        if one.cost < present.cost - 1e-9
        and one.most_cpus <= present.most_cpus + 1e-9
        and one.cpu_hours <= present.cpu_hours + 1e-9
    ]


def scale_to_zero(size: Size, trace: Trace, prices: Prices, *, cold_start_seconds: float, least: int = 1) -> ScaleToZero:
    """What having no replica in the trace's pauses saves, and what it asks of users.

    Args:
        cold_start_seconds: From a request that finds no replica to its answer.
        least: Replicas that would be kept otherwise.
    """
    hour = hourly_price(size, prices) * max(1, least)
    break_even = STABLE_WINDOW_SECONDS + GRACE_SECONDS + cold_start_seconds
    pauses = trace.pauses()
    saved = sum(max(0.0, length * 3600 - break_even) for length in pauses) / 3600 * hour
    return ScaleToZero(cold_start_seconds, break_even, hour, len(pauses), saved, saved / len(pauses) if pauses else None)


def cpu_target(size: Size, headroom: float) -> int:
    """Percent of its requested CPU at which a replica still has its headroom: the autoscaler's target."""
    low, high = UTILISATION
    return int(min(high, max(low, size.cpu_share * 100 / (1 + headroom))))


def rate_target(size: Size, headroom: float) -> int:
    """Requests a second of a replica that still has its headroom."""
    return max(1, int(size.capacity / (1 + headroom)))

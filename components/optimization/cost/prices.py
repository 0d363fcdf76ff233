"""What a CPU and a GiB of memory cost an hour: the user's own prices, or those of an example machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter, did_you_mean

# A machine's price is one number; clouds that price CPU and memory apart ask about eight times as much for a CPU as for a GiB.
GIB_FOR_A_CPU = 8.0
HOURS_A_MONTH = 730.0
# (CPUs, GiB, dollars an hour): list prices on demand, Linux, as examples of the size of such figures. Yours differ by region,
# by commitment and over time: give your own.
EXAMPLES: Mapping[str, tuple[float, float, float]] = {
    "aws m5.large": (2, 8, 0.096),
    "aws c5.large": (2, 4, 0.085),
    "aws m6g.large": (2, 8, 0.077),
    "gcp n2-standard-2": (2, 8, 0.0971),
    "gcp e2-standard-2": (2, 8, 0.067),
    "azure D2s v5": (2, 8, 0.096),
}
DEFAULT = "aws m5.large"
EXPECTED = '{"cpu_hour": 0.03, "gib_hour": 0.004}, {"cpus": 2, "gib": 8, "hour": 0.1} or {"instance": NAME}'


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of what a replica requests.

    Attributes:
        cpu_hour: Of a CPU for an hour.
        gib_hour: Of a GiB of memory for an hour.
        source: Where they come from, for people.
    """

    cpu_hour: float
    gib_hour: float
    currency: str
    source: str

    def replica_hour(self, cpus: float, gib: float) -> float:
        """An hour of one replica that requests this much."""
        return self.cpu_hour * cpus + self.gib_hour * gib


def read(given: Mapping[str, Any]) -> Prices:
    """Prices as a user gives them.

    Args:
        given: `cpu_hour` and `gib_hour`; or `cpus`, `gib` and `hour` of a machine; or `instance`, one of the examples; nothing
            takes an example machine. `currency` names the unit.

    Raises:
        BadParameter: If it is something else.
    """
    keys = set(given) - {"currency"}
    currency = str(given.get("currency", "USD"))
    if keys == {"cpu_hour", "gib_hour"}:
        cpu_hour, gib_hour = _number(given, "cpu_hour"), _number(given, "gib_hour")
        if cpu_hour + gib_hour <= 0:
            raise BadParameter("prices", got=dict(given), expected="a price above 0")
        return Prices(cpu_hour, gib_hour, currency, "your prices of CPU and memory")
    if keys == {"cpus", "gib", "hour"}:
        size = _number(given, "cpus"), _number(given, "gib"), _number(given, "hour")
        return _of_machine(*size, currency, f"your machine with {size[0]:g} CPUs and {size[1]:g} GiB")
    name = str(given.get("instance", DEFAULT))
    if not keys <= {"instance"}:
        raise BadParameter("prices", got=dict(given), expected=EXPECTED)
    if name not in EXAMPLES:
        raise BadParameter("prices", got=name, expected=f"one of {', '.join(EXAMPLES)}{did_you_mean(name, EXAMPLES)}")
    return _of_machine(*EXAMPLES[name], "USD", f"the list price of {name}, an example")


def _of_machine(cpus: float, gib: float, hour: float, currency: str, source: str) -> Prices:
    """Divide a machine's price between its CPUs and its memory."""
    if not (cpus > 0 and hour > 0):
        raise BadParameter("prices", got={"cpus": cpus, "gib": gib, "hour": hour}, expected=EXPECTED)
    cpu_hour = hour / (cpus + gib / GIB_FOR_A_CPU)
    return Prices(cpu_hour, cpu_hour / GIB_FOR_A_CPU, currency, source)


def _number(given: Mapping[str, Any], name: str) -> float:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise BadParameter("prices", got=dict(given), expected=EXPECTED)
    return float(value)
